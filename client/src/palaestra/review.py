"""The review queue: `client.reviews`, plain and for asyncio. What rules doubt, and what people say of it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any, TypeVar

from google.protobuf.message import Message

from palaestra import names
from palaestra.calls import Call, Listing
from palaestra.v1 import review_service_pb2 as pb
from palaestra.v1.review_pb2 import FaultKinds, Review, ReviewAnswer, Subtask, Subtasks
from palaestra.v1.venue_service_pb2 import GetIdentityResponse

PAGE_SIZE = 200
ORDERS = ("worst", "informative", "oldest")
VERDICTS = ("accepted", "rejected")
R = TypeVar("R", bound=Message)


def wanted(
    *,
    robot: str = "",
    robot_model: str = "",
    maker: str = "",
    scenario: str = "",
    fault: str = "",
    quality_min: float | None = None,
    quality_max: float | None = None,
) -> pb.ReviewFilter:
    """Return which episodes of the queue; all conditions hold together.

    Args:
        robot: A unit's full name.
        fault: A kind that a rule has found, such as "gap".
        quality_min, quality_max: 0 to 1; an episode without a score meets neither.
    """
    return pb.ReviewFilter(
        robot=robot,
        robot_model=robot_model,
        maker=maker,
        scenario=scenario,
        fault=fault,
        quality_min=quality_min,
        quality_max=quality_max,
    )


def opinion(
    verdict: str = "",
    *,
    outcome: str = "",
    failure_cause: str = "",
    grade: str = "",
    faults: Sequence[str] | None = None,
    subtasks: Sequence[tuple[str, float, float]] | None = None,
    note: str = "",
    reviewer: str = "",
) -> ReviewAnswer:
    """Return what a person says of an episode; what is left out says nothing.

    Args:
        verdict: "accepted" or "rejected"; "" leaves the episode in the queue.
        outcome: "success" or "failure".
        failure_cause: Such as "missed_grasp"; the venue refuses what is not in its vocabulary, and lists it.
        grade: "good", "usable" or "poor".
        faults: All kinds that are there; [] says that there is none.
        subtasks: (name, start [s], end [s]) each.
        reviewer: Who has looked, where several people share one login.

    Raises:
        ValueError: A verdict or an outcome that there is none of.
    """
    if verdict not in ("", *VERDICTS):
        raise ValueError(f"verdict {verdict!r}: one of {', '.join(VERDICTS)}")
    if outcome not in ("", "success", "failure"):
        raise ValueError(f"outcome {outcome!r}: success or failure")
    found = ReviewAnswer(
        verdict=f"REVIEW_VERDICT_{verdict.upper()}" if verdict else None,
        outcome=f"EPISODE_OUTCOME_{outcome.upper()}" if outcome else None,
        failure_cause=failure_cause,
        grade=grade,
        faults=None if faults is None else FaultKinds(kinds=faults),
        note=note,
        reviewer=reviewer,
    )
    if subtasks is not None:
        parts = [Subtask(name=name, start_s=start_s, end_s=end_s) for name, start_s, end_s in subtasks]
        found.subtasks.CopyFrom(Subtasks(subtasks=parts))
    return found


def _order(order: str) -> Any:
    if order not in ORDERS:
        raise ValueError(f"order {order!r}: one of {', '.join(ORDERS)}")
    return f"REVIEW_ORDER_{order.upper()}"


class _Calls:
    """The calls of ReviewService, by what they are asked for."""

    @staticmethod
    def queue(parent: str, only: pb.ReviewFilter | None, order: str) -> Listing[pb.ListReviewsResponse, Review]:
        request = pb.ListReviewsRequest(parent=parent, page_size=PAGE_SIZE, filter=only, order=_order(order))
        return Listing(_call("ListReviews", request, pb.ListReviewsResponse), lambda page: page.reviews)

    @staticmethod
    def claim(
        parent: str, only: pb.ReviewFilter | None, order: str, length_s: float | None, another: bool, reviewer: str
    ) -> Call[pb.ClaimReviewResponse]:
        request = pb.ClaimReviewRequest(
            parent=parent, filter=only, order=_order(order), another=another, reviewer=reviewer
        )
        if length_s is not None:
            request.length.FromNanoseconds(round(length_s * 1e9))
        return _call("ClaimReview", request, pb.ClaimReviewResponse)


def _call(method: str, request: Message, response: type[R]) -> Call[R]:
    return Call(f"/palaestra.v1.ReviewService/{method}", request, response)


class Reviews:
    """Works off the review queue; raises PalaestraError as every method of a client.

    The last part of the name of one's own episode is enough everywhere.
    """

    def __init__(
        self,
        send: Callable[..., Any],
        pages: Callable[..., Iterator[Any]],
        identity: Callable[[], GetIdentityResponse],
    ) -> None:
        self._send = send
        self._pages = pages
        self._identity = identity

    def queue(self, only: pb.ReviewFilter | None = None, *, order: str = "worst", parent: str = "") -> Iterator[Review]:
        """Yield the episodes that wait for a person, see `wanted`; operators see those of every vendor.

        order: "worst" (lowest score first), "informative" (what tells most about the rules) or "oldest".
        """
        return self._pages(_Calls.queue(parent or names.parent(self._identity()), only, order))

    def next(
        self,
        only: pb.ReviewFilter | None = None,
        *,
        order: str = "worst",
        length_s: float | None = None,
        another: bool = False,
        reviewer: str = "",
    ) -> Review | None:
        """Take the first that nobody else looks at; None where there is none left.

        Args:
            length_s: How long it is one's own, 10 s to a day; None: fifteen minutes.
            another: Pass over what one has taken already, which else comes back first.
            reviewer: Who looks, where several people share one login: each has claims of its own.
        """
        called = _Calls.claim(self._identity().vendor, only, order, length_s, another, reviewer)
        found: pb.ClaimReviewResponse = self._send(called)
        return found.review if found.HasField("review") else None

    def get(self, episode: str) -> Review:
        """Return what rules and people say of an episode, in the queue or not."""
        request = pb.GetReviewRequest(name=names.episode(episode, self._identity()))
        found: Review = self._send(_call("GetReview", request, Review))
        return found

    def answer(self, episode: str, answer: ReviewAnswer) -> Review:
        """Keep what a person says, see `opinion`; for ever. With a verdict the episode leaves the queue."""
        request = pb.AnswerReviewRequest(name=names.episode(episode, self._identity()), answer=answer)
        found: Review = self._send(_call("AnswerReview", request, Review))
        return found

    def release(self, episode: str, *, reviewer: str = "") -> Review:
        """Give an episode back that one has taken."""
        request = pb.ReleaseReviewRequest(name=names.episode(episode, self._identity()), reviewer=reviewer)
        found: Review = self._send(_call("ReleaseReview", request, Review))
        return found

    def figures(self, *, parent: str = "") -> pb.ReviewFigures:
        """Return how far the rules agree with people, by kind of fault, and how long the queue is."""
        request = pb.GetReviewFiguresRequest(parent=parent or names.parent(self._identity()))
        found: pb.ReviewFigures = self._send(_call("GetReviewFigures", request, pb.ReviewFigures))
        return found


class AsyncReviews:
    """The same, awaited."""

    def __init__(
        self,
        send: Callable[..., Awaitable[Any]],
        pages: Callable[..., AsyncIterator[Any]],
        identity: Callable[[], Awaitable[GetIdentityResponse]],
    ) -> None:
        self._send = send
        self._pages = pages
        self._identity = identity

    async def queue(
        self, only: pb.ReviewFilter | None = None, *, order: str = "worst", parent: str = ""
    ) -> AsyncIterator[Review]:
        """Yield the episodes that wait for a person."""
        async for review in self._pages(_Calls.queue(parent or names.parent(await self._identity()), only, order)):
            yield review

    async def next(
        self,
        only: pb.ReviewFilter | None = None,
        *,
        order: str = "worst",
        length_s: float | None = None,
        another: bool = False,
        reviewer: str = "",
    ) -> Review | None:
        """Take the first that nobody else looks at; None where there is none left."""
        called = _Calls.claim((await self._identity()).vendor, only, order, length_s, another, reviewer)
        found: pb.ClaimReviewResponse = await self._send(called)
        return found.review if found.HasField("review") else None

    async def get(self, episode: str) -> Review:
        """Return what rules and people say of an episode."""
        request = pb.GetReviewRequest(name=names.episode(episode, await self._identity()))
        found: Review = await self._send(_call("GetReview", request, Review))
        return found

    async def answer(self, episode: str, answer: ReviewAnswer) -> Review:
        """Keep what a person says; for ever."""
        request = pb.AnswerReviewRequest(name=names.episode(episode, await self._identity()), answer=answer)
        found: Review = await self._send(_call("AnswerReview", request, Review))
        return found

    async def release(self, episode: str, *, reviewer: str = "") -> Review:
        """Give an episode back that one has taken."""
        request = pb.ReleaseReviewRequest(name=names.episode(episode, await self._identity()), reviewer=reviewer)
        found: Review = await self._send(_call("ReleaseReview", request, Review))
        return found

    async def figures(self, *, parent: str = "") -> pb.ReviewFigures:
        """Return how far the rules agree with people, and how long the queue is."""
        request = pb.GetReviewFiguresRequest(parent=parent or names.parent(await self._identity()))
        found: pb.ReviewFigures = await self._send(_call("GetReviewFigures", request, pb.ReviewFigures))
        return found
