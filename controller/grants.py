"""Which grant holds on which unit: pure decisions over what the scheduler offers and what time it is.

The scheduler sends the full set of grants again and again. A grant in the set lives for its time to live
from the moment of receipt, by this machine's monotonic clock; one that is no longer in the set is over at
once; one that was over never comes back, for only an epoch higher than all before opens a unit.
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Offer:
    """A grant as the scheduler states it. `ttl_s` counts from receipt."""

    unit: str
    lease: str
    epoch: int
    token_sha256: bytes
    ttl_s: float


@dataclass(frozen=True)
class Grant:
    """A grant that holds. `deadline_s` is on the monotonic clock."""

    lease: str
    epoch: int
    token_sha256: bytes
    deadline_s: float

    def opens_with(self, token: str) -> bool:
        """Return whether the token is the lease's, in a time that tells nothing about it."""
        return hmac.compare_digest(hashlib.sha256(token.encode()).digest(), self.token_sha256)


@dataclass(frozen=True)
class Change:
    """What follows from a message or from the passing of time.

    Attributes:
        held: All grants that hold now, by unit.
        raised: New highest epochs, to be on disk before `held` counts.
        over: Units whose epochs up to and including the given one are over for good.
    """

    held: Mapping[str, Grant]
    raised: Mapping[str, int]
    over: Mapping[str, int]


def receive(held: Mapping[str, Grant], offers: Iterable[Offer], *, highest: Mapping[str, int], now_s: float) -> Change:
    """Return what the full set of grants means for the units named in `highest`.

    An offer of the epoch that holds extends it. One that is higher than every epoch before replaces it. All
    others are stale and ignored, so a unit whose only offer is stale ends up without a grant. Of several
    offers for one unit the highest counts.
    """
    newest: dict[str, Offer] = {}
    for offer in offers:
        if offer.unit in highest and (offer.unit not in newest or offer.epoch > newest[offer.unit].epoch):
            newest[offer.unit] = offer
    kept: dict[str, Grant] = {}
    raised: dict[str, int] = {}
    for offer in newest.values():
        present = held.get(offer.unit)
        deadline_s = now_s + offer.ttl_s
        if present is not None and present.epoch == offer.epoch and present.lease == offer.lease:
            kept[offer.unit] = replace(present, deadline_s=deadline_s)
        elif offer.epoch > highest[offer.unit]:
            kept[offer.unit] = Grant(offer.lease, offer.epoch, offer.token_sha256, deadline_s)
            raised[offer.unit] = offer.epoch
    # A new grant ends every epoch below it, also those that this host never saw.
    over = {unit: epoch - 1 for unit, epoch in raised.items()}
    over |= {unit: grant.epoch for unit, grant in held.items() if unit not in kept}
    return Change(kept, raised, over)


def expire(held: Mapping[str, Grant], *, now_s: float) -> Change:
    """Return what the passing of time means: grants past their deadline are over."""
    over = {unit: grant.epoch for unit, grant in held.items() if grant.deadline_s <= now_s}
    return Change({unit: grant for unit, grant in held.items() if unit not in over}, {}, over)
