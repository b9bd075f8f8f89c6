"""Makes pictures for review, in the background and one version at a time: it may take hours, and no request waits."""

import logging
import threading
from collections import OrderedDict
from dataclasses import dataclass

from sharing.errors import InvalidTerms, NotReleasable, NotShared, SharingError
from sharing.gate import Gate
from sharing.grant import Ask, Grant
from sharing.projection.pictures import for_channel, shows
from sharing.projection.projector import Projector
from sharing.register import Register
from sharing.review.reviews import Review, Reviews
from sharing.terms import Channel

WAITING_MAX = 4
"""Of one provider at the same time."""
KEPT_MAX = 1_000
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Making:
    """How far it is: `making`, `failed` and why, or `made` and the review."""

    state: str
    why: str = ""
    review: Review | None = None


class Desk:
    """Prepares reviews for providers. Safe from any thread."""

    def __init__(self, gate: Gate, register: Register, projector: Projector, reviews: Reviews) -> None:
        self._gate, self._register, self._projector, self._reviews = gate, register, projector, reviews
        self._known: OrderedDict[tuple[str, str, int], Making] = OrderedDict()
        self._lock = threading.Lock()
        self._turn = threading.Lock()

    def prepare(self, agreement: str, provider: str, version: int = 0) -> Making:
        """Have the pictures of an agreement made, or tell how far that is. Ask again until they are.

        Args:
            provider: Who asks: the providing side.
            version: Of the data set; 0: the newest that is granted.

        Raises:
            NotShared: No agreement of which this vendor is the provider, or not in force.
            InvalidTerms: The agreement is not of pictures for export, or too many are being made.
        """
        terms = self._register.get(agreement, provider).agreement.terms
        if terms.provider != provider:
            raise NotShared
        if Channel.EXPORT not in terms.channels:
            raise InvalidTerms("agreement: is not for exports, and pictures leave by no other channel")
        ask = Ask(
            consumer=terms.consumer,
            agreement=agreement,
            channel=Channel.EXPORT,
            purpose=terms.purposes[0],
            version=version,
            about="review by the provider",
        )
        grant = for_channel(self._gate.authorize(ask))
        if not shows(grant):
            raise InvalidTerms("agreement: lets no pictures out: it has no camera's column, or not fill-faces")
        name = provider, agreement, grant.version
        with self._lock:
            known = self._known.get(name)
            if known is not None and known.state == "making":
                return known
            # What failed, or was made, is looked at anew: an installed detector, a dropped projection.
            if sum(one[0] == provider and made.state == "making" for one, made in self._known.items()) >= WAITING_MAX:
                raise InvalidTerms(f"agreement: {WAITING_MAX} of yours are being made; ask again when one is done")
            if known is not None and known.state == "failed":
                del self._known[name]
                return known
            if known is not None and known.review is not None and self._there(known.review):
                return Making("made", review=self._reviews.get(known.review.content, provider))
            self._known[name] = Making("making")
            while len(self._known) > KEPT_MAX:
                self._known.popitem(last=False)
        threading.Thread(target=self._make, args=(name, grant), name="review", daemon=True).start()
        return Making("making")

    def sheet(self, review: Review, camera: str) -> bytes:
        """Return the contact sheet of a camera, a JPEG. Raises NotShared, also once its projection was dropped."""
        return self._projector.sheet(review.projection, review.agreement, camera)

    def _there(self, review: Review) -> bool:
        try:
            for one in review.pictures["sheets"]:
                self.sheet(review, one["camera"])
        except NotShared:
            return False
        return True

    def _make(self, name: tuple[str, str, int], grant: Grant) -> None:
        try:
            with self._turn:
                self._gate.still(grant)
                made, pictures = self._projector.prepare(grant)
                ended = Making("made", review=self._reviews.enter(grant, made.key, made.version, pictures))
        except (NotReleasable, InvalidTerms) as error:
            ended = Making("failed", why=str(error))
        except SharingError:
            ended = Making("failed", why="the agreement ended meanwhile")
        except Exception:
            log.exception("pictures could not be made for review")
            ended = Making("failed", why="the venue could not make them; its log says why")
        with self._lock:
            self._known[name] = ended
