"""ReviewService: the queue of episodes that rules doubt, worked off by a vendor's people.

As in DataService a change is written into the audit first and then done.
"""

from typing import Any

from google.protobuf.message import Message

from catalogue import Catalogue
from catalogue.catalogue import Record
from catalogue.opinion import ACCEPTED, PERSON, REJECTED, Agreement, Annotation, Answer, Opinion, Subtask
from catalogue.review import Filter, Known, Place
from palaestra.errors import PalaestraError
from palaestra.v1 import episode_pb2, review_pb2, review_service_pb2, review_service_pb2_grpc
from scheduler import names, reading
from scheduler.core import Core
from scheduler.guard import caller
from scheduler.services.data import record_message
from scheduler.shelf import Shelf

CLAIM_S = 15 * 60
ORDERS = {
    review_pb2.REVIEW_ORDER_UNSPECIFIED: "worst",
    review_pb2.REVIEW_ORDER_WORST: "worst",
    review_pb2.REVIEW_ORDER_INFORMATIVE: "informative",
    review_pb2.REVIEW_ORDER_OLDEST: "oldest",
}
VERDICTS = {review_pb2.REVIEW_VERDICT_ACCEPTED: ACCEPTED, review_pb2.REVIEW_VERDICT_REJECTED: REJECTED}
OUTCOMES = {episode_pb2.EPISODE_OUTCOME_SUCCESS: "success", episode_pb2.EPISODE_OUTCOME_FAILURE: "failure"}


class ReviewService(review_service_pb2_grpc.ReviewServiceServicer):
    def __init__(self, core: Core, shelf: Shelf) -> None:
        self._core = core
        self._shelf = shelf

    async def ListReviews(
        self, request: review_service_pb2.ListReviewsRequest, context: Any
    ) -> review_service_pb2.ListReviewsResponse:
        vendor = self._scope(request.parent)
        wanted, order = filter_of(request.filter, vendor), order_of(request.order)
        scope = ("reviews", request.parent, caller().vendor, repr(wanted), order)
        page = self._core.pager.page(request.page_token, request.page_size, scope)
        after = None if page.after is None else (float(page.after.split()[0]), int(page.after.split()[1]))
        now_ns = self._core.clock.now_ns()

        def find(catalogue: Catalogue) -> tuple[list[tuple[Place, Record]], Place | None]:
            places = catalogue.reviews.places(wanted, order=order, after=after, size=page.size, now_ns=now_ns)
            shown = places[: page.size]
            records = catalogue.records([one.id for one in shown])
            return list(zip(shown, records, strict=True)), shown[-1] if len(places) > page.size else None

        rows, last = await self._shelf.ask(find)
        token = "" if last is None else self._core.pager.token(f"{last.rank!r} {last.id}", scope)
        reviews = [_review(place, record, is_open=True) for place, record in rows]
        return review_service_pb2.ListReviewsResponse(reviews=reviews, next_page_token=token)

    async def ClaimReview(
        self, request: review_service_pb2.ClaimReviewRequest, context: Any
    ) -> review_service_pb2.ClaimReviewResponse:
        vendor = self._own(request.parent)
        wanted, order = filter_of(request.filter, vendor), order_of(request.order)
        holder = self._holder(request.reviewer)
        _, now_ns = await self._written_down()
        length_s = request.length.ToNanoseconds() / 1e9 if request.HasField("length") else CLAIM_S
        end_ns = now_ns + int(length_s * 1e9)

        def claim(catalogue: Catalogue) -> review_pb2.Review | None:
            place = catalogue.reviews.claim(
                wanted, holder, order=order, another=request.another, end_ns=end_ns, now_ns=now_ns
            )
            return None if place is None else _whole(catalogue, vendor, place.uid, now_ns)

        return review_service_pb2.ClaimReviewResponse(review=await self._shelf.ask(claim))

    async def GetReview(self, request: review_service_pb2.GetReviewRequest, context: Any) -> review_pb2.Review:
        vendor, uid = self._owner(request.name)
        now_ns = self._core.clock.now_ns()
        return await self._shelf.ask(lambda catalogue: _whole(catalogue, vendor, uid, now_ns))

    async def AnswerReview(self, request: review_service_pb2.AnswerReviewRequest, context: Any) -> review_pb2.Review:
        vendor, uid = self._mine(request.name)
        opinion, holder = opinion_of(request.answer), self._holder(request.answer.reviewer)
        await self._shelf.ask(lambda catalogue: catalogue.check_own(vendor, [uid]))
        author, now_ns = await self._written_down()

        def answer(catalogue: Catalogue) -> review_pb2.Review:
            catalogue.reviews.answer(vendor, uid, opinion, holder=holder, author=author, now_ns=now_ns)
            return _whole(catalogue, vendor, uid, now_ns)

        return await self._shelf.ask(answer)

    async def ReleaseReview(self, request: review_service_pb2.ReleaseReviewRequest, context: Any) -> review_pb2.Review:
        vendor, uid = self._mine(request.name)
        await self._shelf.ask(lambda catalogue: catalogue.check_own(vendor, [uid]))
        holder = self._holder(request.reviewer)
        _, now_ns = await self._written_down()

        def release(catalogue: Catalogue) -> review_pb2.Review:
            catalogue.reviews.release(vendor, uid, holder)
            return _whole(catalogue, vendor, uid, now_ns)

        return await self._shelf.ask(release)

    async def GetReviewFigures(
        self, request: review_service_pb2.GetReviewFiguresRequest, context: Any
    ) -> review_service_pb2.ReviewFigures:
        vendor = self._scope(request.parent)
        now_ns = self._core.clock.now_ns()
        found = await self._shelf.ask(
            lambda catalogue: (catalogue.reviews.figures(vendor), catalogue.reviews.counts(vendor, now_ns=now_ns))
        )
        agreements, counts = found
        return review_service_pb2.ReviewFigures(
            agreements=map(_agreement, agreements),
            open_count=counts["open"],
            claimed_count=counts["claimed"],
            accepted_count=counts[ACCEPTED],
            rejected_count=counts[REJECTED],
        )

    # Who may: as in DataService.

    def _scope(self, parent: str) -> str | None:
        vendor = reading.vendor_scope(self._core.read, caller(), parent)
        reading.whole_vendor_scope(caller())
        return vendor

    def _owner(self, name: str) -> tuple[str, str]:
        """Return vendor and last part of an episode that the caller may see. Raises NOT_FOUND."""
        vendor = name.split("/")[1]
        if not caller().sees_vendor(vendor) or caller().projects:
            raise PalaestraError("NOT_FOUND", f"{name} not found")
        return vendor, names.parts(name)[1]

    def _mine(self, name: str) -> tuple[str, str]:
        """Return vendor and last part of an episode of the vendor that the caller acts for. Raises NOT_FOUND."""
        vendor, uid = self._owner(name)
        if vendor != caller().vendor:
            raise PalaestraError("NOT_FOUND", f"{name} not found")
        return vendor, uid

    def _own(self, parent: str) -> str:
        """Return the vendor that the caller acts for. Raises NOT_FOUND for any other, SCOPE_DENIED."""
        vendor = parent.split("/")[1]
        if vendor != caller().vendor:
            raise PalaestraError("NOT_FOUND", f"{parent} not found")
        reading.whole_vendor_scope(caller())
        return vendor

    def _holder(self, reviewer: str) -> str:
        """Return who holds a claim: whoever is logged in, and of those that share a login each by a name."""
        return f"{caller()}, {reviewer}" if reviewer else str(caller())

    async def _written_down(self) -> tuple[str, int]:
        """Write the present call into the audit. Returns who calls, and when."""
        result: Message | None = None
        now_ns = self._core.clock.now_ns()
        await self._core.run(lambda tx: result)
        return str(caller()), now_ns


def filter_of(message: review_service_pb2.ReviewFilter, vendor: str | None) -> Filter:
    """Return a message's filter in the catalogue's terms."""
    return Filter(
        vendor,
        message.robot,
        message.robot_model,
        message.maker,
        message.scenario,
        message.fault,
        message.quality_min if message.HasField("quality_min") else None,
        message.quality_max if message.HasField("quality_max") else None,
    )


def order_of(order: review_pb2.ReviewOrder) -> str:
    """Return the catalogue's name of an order. Raises INVALID_FIELD for one that a later contract may have."""
    if order not in ORDERS:
        raise PalaestraError("INVALID_FIELD", f"order: {order} is none that this venue knows")
    return ORDERS[order]


def opinion_of(message: review_pb2.ReviewAnswer) -> Opinion:
    """Return what a person says. Raises INVALID_FIELD for a number that stands for no verdict or outcome."""
    if message.verdict and message.verdict not in VERDICTS:
        raise PalaestraError("INVALID_FIELD", f"answer.verdict: {message.verdict} is none that this venue knows")
    if message.outcome and message.outcome not in OUTCOMES:
        raise PalaestraError("INVALID_FIELD", "answer.outcome: EPISODE_OUTCOME_SUCCESS or EPISODE_OUTCOME_FAILURE")
    parts = None
    if message.HasField("subtasks"):
        found = (Subtask(one.name, one.start_s, one.end_s) for one in message.subtasks.subtasks)
        parts = tuple(sorted(found, key=lambda one: (one.start_s, one.end_s)))
    return Opinion(
        VERDICTS.get(message.verdict),
        OUTCOMES.get(message.outcome),
        message.failure_cause or None,
        message.grade or None,
        tuple(sorted(set(message.faults.kinds))) if message.HasField("faults") else None,
        parts,
        message.note,
        message.reviewer,
    )


def _whole(catalogue: Catalogue, vendor: str, uid: str, now_ns: int) -> review_pb2.Review:
    known: Known = catalogue.reviews.known(vendor, uid, now_ns=now_ns)
    review = _review(known.place, catalogue.record(vendor, uid), is_open=known.is_open)
    review.annotations.extend(map(_annotation, known.annotations))
    review.answers.extend(map(_answer, known.answers))
    return review


def _review(place: Place, record: Record, *, is_open: bool) -> review_pb2.Review:
    review = review_pb2.Review(record=record_message(record), open=is_open, holder=place.holder)
    if place.holder:
        review.claim_end_time.FromNanoseconds(place.end_ns)
    return review


def _annotation(one: Annotation) -> review_pb2.Annotation:
    kind = review_pb2.AUTHOR_KIND_PERSON if one.kind == PERSON else review_pb2.AUTHOR_KIND_RULE
    message = review_pb2.Annotation(field=one.field, value=one.value, author=one.author, kind=kind, version=one.version)
    message.set_time.FromNanoseconds(one.set_ns)
    return message


def _answer(one: Answer) -> review_pb2.ReviewAnswer:
    said = one.opinion
    message = review_pb2.ReviewAnswer(
        verdict=_key(VERDICTS, said.verdict),
        outcome=_key(OUTCOMES, said.outcome),
        failure_cause=said.failure_cause or "",
        grade=said.grade or "",
        note=said.note,
        reviewer=said.reviewer,
        number=one.id,
        author=one.author,
        rule_method=one.rule_method,
        rule_faults=one.rule_faults,
    )
    if said.faults is not None:
        message.faults.CopyFrom(review_pb2.FaultKinds(kinds=said.faults))
    if said.subtasks is not None:
        message.subtasks.SetInParent()
        for part in said.subtasks:
            message.subtasks.subtasks.add(name=part.name, start_s=part.start_s, end_s=part.end_s)
    message.answer_time.FromNanoseconds(one.set_ns)
    return message


def _key(words: dict[Any, str], word: str | None) -> Any:
    return next((number for number, value in words.items() if value == word), None)


def _agreement(one: Agreement) -> review_pb2.RuleAgreement:
    return review_pb2.RuleAgreement(
        method=one.method,
        kind=one.kind,
        both=one.both,
        rule_only=one.rule_only,
        person_only=one.person_only,
        precision=one.precision,
        recall=one.recall,
    )
