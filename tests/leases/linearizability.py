"""Could all that was seen of a unit's leases have happened one thing after the other, each at one moment?

A history is linearizable (Herlihy and Wing, 1990) if every operation can be given a moment between its call and its
return such that, in the order of these moments, each does what it does to a lock with an epoch: an acquisition wants
the unit free and an epoch above all before, a use and a release want their own holder on it. An operation whose outcome
nobody knows may have its moment at any time after its call, or never.

Units are independent, so each is checked alone. The search is that of Wing and Gong (1993) in Lowe's just-in-time form
(2017): operations get their moments only when one of them returns. A *possibility* is what the unit may be now and what
has had its moment. Of two that are alike but for unknown operations spent and the epoch reached, the one that has spent
no more and reached no higher can do whatever the other can, so the other is dropped: without that, operations with
unknown outcomes would double the possibilities each. And epochs only grow: an operation with an unknown outcome whose
epoch is behind is forgotten, and a moment that would leave behind what is known to have been done is not tried. So a
long history costs what a short one does, for each of its operations.
"""

import math
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    ACQUIRE = "acquire"
    USE = "use"
    RELEASE = "release"


class Outcome(Enum):
    DONE = "done"
    # It was answered that it had no effect.
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Operation:
    """What one party saw of one operation on one unit.

    Attributes:
        unit: On what.
        holder: Who; one that acquires again after an unknown outcome is another holder.
        kind: What.
        call_s: When it was asked for, on a clock that all share.
        return_s: When the answer was there; not looked at if the outcome is unknown.
        outcome: What was answered.
        epoch: Of the lease. None: not told, then epochs are not looked at.
    """

    unit: str
    holder: str
    kind: Kind
    call_s: float
    return_s: float
    outcome: Outcome = Outcome.DONE
    epoch: int | None = None


@dataclass(frozen=True)
class Violation:
    """Where a unit's history stops being possible.

    Attributes:
        operation: The one for which there is no moment.
        held_by: Who may have held the unit before it, with the epochs reached; "" for nobody.
    """

    operation: Operation
    held_by: frozenset[tuple[str, int]]

    def __str__(self) -> str:
        found, seen = self.operation, ", ".join(sorted(f"{h or 'nobody'} at {e}" for h, e in self.held_by))
        return (
            f"{found.unit}: {found.kind.value} by {found.holder} (epoch {found.epoch}), from {found.call_s:.4f} s to "
            f"{found.return_s:.4f} s, cannot have been {found.outcome.value}: the unit was held by {seen}"
        )


@dataclass(frozen=True)
class _Possibility:
    holder: str
    epoch: int
    # Under way, and with their moments behind them.
    past: frozenset[int]
    # With unknown outcomes, and taken to have had an effect.
    spent: frozenset[int]

    def covers(self, other: "_Possibility") -> bool:
        """Whether whatever the other can become this one can; they are of the same holder and past."""
        return self.spent <= other.spent and (
            self.epoch == other.epoch or (not self.holder and self.epoch < other.epoch)
        )


def check(history: Iterable[Operation]) -> list[Violation]:
    """Return the first violation of each unit that has one. Empty: the history is linearizable."""
    units: dict[str, list[Operation]] = defaultdict(list)
    for operation in history:
        units[operation.unit].append(operation)
    found = (_check_unit(units[unit]) for unit in sorted(units))
    return [violation for violation in found if violation is not None]


def _check_unit(operations: Sequence[Operation]) -> Violation | None:
    open_now: set[int] = set()
    possible = [_Possibility("", 0, frozenset(), frozenset())]
    for returns, number in _order(operations):
        if not returns:
            open_now.add(number)
            continue
        after: list[_Possibility] = []
        for possibility in possible:
            after += _until(number, possibility, open_now, operations)
        if not after:
            return Violation(operations[number], frozenset((each.holder, each.epoch) for each in possible))
        open_now.remove(number)
        # What can have its moment under none of them any more need not be kept in mind, spent or not.
        reached = min(each.epoch for each in after)
        open_now = {number for number in open_now if not _is_over(operations[number], reached)}
        possible = _best([_Possibility(p.holder, p.epoch, p.past, p.spent & open_now) for p in after])
    return None


def _is_over(operation: Operation, reached: int) -> bool:
    """Whether an operation with an unknown outcome can have no effect once all possibilities have reached an epoch."""
    if operation.outcome is not Outcome.UNKNOWN or operation.epoch is None:
        return False
    return operation.epoch <= reached if operation.kind is Kind.ACQUIRE else operation.epoch < reached


def _order(operations: Sequence[Operation]) -> Iterator[tuple[bool, int]]:
    """Yield (whether it returns, number) by time; at equal times calls come first, which excludes no order."""
    moments = []
    for number, operation in enumerate(operations):
        if operation.outcome is Outcome.UNKNOWN:
            # That it was used or refused is seen by nobody and changes nothing.
            if operation.kind is not Kind.USE:
                moments.append((operation.call_s, False, number))
            continue
        assert operation.call_s <= operation.return_s < math.inf, operation
        moments += [(operation.call_s, False, number), (operation.return_s, True, number)]
    for _, returns, number in sorted(moments):
        yield returns, number


def _until(wanted: int, start: _Possibility, open_now: set[int], operations: Sequence[Operation]) -> list[_Possibility]:
    """Return what may be once `wanted` has had its moment, after any others that are under way."""
    reached: list[_Possibility] = []
    seen = _Best()
    seen.add(start)
    left = deque([start])
    while left:
        now = left.popleft()
        # What changes nothing and can have its moment now gains nothing by waiting.
        idle = [
            n for n in open_now - now.past if not _effects(operations[n]) and _after(now, n, operations) is not None
        ]
        now = _Possibility(now.holder, now.epoch, now.past.union(idle), now.spent)
        if wanted in now.past:
            reached.append(_Possibility(now.holder, now.epoch, now.past - {wanted}, now.spent))
            continue
        due = [operations[n].epoch for n in open_now - now.past if _is_due(operations[n])]
        first_due = min((epoch for epoch in due if epoch is not None), default=math.inf)
        for number in open_now - now.past - now.spent:
            if _effects(operations[number]) and (operations[number].epoch or 0) <= first_due:
                then = _after(now, number, operations)
                # To acquire and release again by unknown operations leads back to less than what there was.
                if then is not None and seen.add(then):
                    left.append(then)
    return reached


def _is_due(operation: Operation) -> bool:
    """Whether an operation that is under way acquires, and is known to have done so: it must yet have its moment."""
    return operation.kind is Kind.ACQUIRE and operation.outcome is Outcome.DONE


def _effects(operation: Operation) -> bool:
    return operation.kind is not Kind.USE and operation.outcome is not Outcome.REFUSED


def _after(now: _Possibility, number: int, operations: Sequence[Operation]) -> _Possibility | None:
    """Return what is after an operation has had its moment; None if it cannot have it now."""
    operation = operations[number]
    holder, epoch = now.holder, now.epoch
    if operation.kind is Kind.ACQUIRE:
        possible = not holder and (operation.epoch is None or operation.epoch > epoch)
        holder, epoch = operation.holder, epoch if operation.epoch is None else operation.epoch
    else:
        possible = holder == operation.holder and operation.epoch in (None, epoch)
        holder = "" if operation.kind is Kind.RELEASE else holder
    if operation.outcome is Outcome.REFUSED:
        possible, holder, epoch = not possible, now.holder, now.epoch
    if not possible:
        return None
    if operation.outcome is Outcome.UNKNOWN:
        return _Possibility(holder, epoch, now.past, now.spent | {number})
    return _Possibility(holder, epoch, now.past | {number}, now.spent)


class _Best:
    """Possibilities of which no other one covers any that was added before it."""

    def __init__(self) -> None:
        self._alike: dict[tuple[str, frozenset[int]], list[_Possibility]] = defaultdict(list)

    def add(self, found: _Possibility) -> bool:
        """Add one, unless another covers it; return whether it was added."""
        rivals = self._alike[found.holder, found.past]
        if any(rival.covers(found) for rival in rivals):
            return False
        rivals.append(found)
        return True


def _best(possibilities: list[_Possibility]) -> list[_Possibility]:
    """Drop those that another one covers."""
    best = _Best()
    return [found for found in sorted(possibilities, key=lambda each: (len(each.spent), each.epoch)) if best.add(found)]
