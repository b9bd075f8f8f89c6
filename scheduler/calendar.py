"""When a place is open: windows of local time that recur by RFC 5545, expanded into plain closures.

A window's start and end are what a clock on the venue's wall shows. Each occurrence begins at the local time of the
first and lasts until the local time of its end, so a shift from 08:00 to 18:00 ends at 18:00 on every day, also when
the clocks change. A local time that does not exist is read with the offset before the change, one that exists twice is
the first of the two (RFC 5545, 3.3.5).

Rules of recurrence are expanded by dateutil, which looks for occurrences until the year 9999. So that a rule without
any cannot keep it busy for long, rules are expanded 7,600 years later than they are meant: the Gregorian calendar
repeats itself after 400 years (146,097 days, whole weeks), and there is little left to search there.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from dateutil.rrule import rrule, rrulestr

from scheduler.state import Closure

S_NS = 1_000_000_000
DAY_NS = 86_400 * S_NS
# Occurrences begin once a day at most, so this is more than any horizon in use needs.
OCCURRENCES_MAX = 1_000
RULE_LENGTH_MAX = 500
YEARS = range(2000, 2400)
DURATION_MAX = timedelta(days=366)
_SHIFT_YEARS = 7600
_FREQUENCIES = ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")
_PARTS = (
    "FREQ",
    "INTERVAL",
    "COUNT",
    "UNTIL",
    "BYDAY",
    "BYMONTH",
    "BYMONTHDAY",
    "BYYEARDAY",
    "BYWEEKNO",
    "BYSETPOS",
    "WKST",
)
_NUMBER_MAX = 10_000
_UNTIL = re.compile(r"(\d{8})(?:T(\d{6})(Z?))?")

Span = tuple[int, int]


class BadCalendar(ValueError):
    """A window that cannot be; the message says why, for people."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a window holds: units and cells by name, and by zone. None of them: the whole venue."""

    units: frozenset[str] = frozenset()
    cells: frozenset[str] = frozenset()
    zones: frozenset[str] = frozenset()

    @property
    def venue(self) -> bool:
        return not (self.units or self.cells or self.zones)

    def targets(self) -> Iterator[tuple[str, str]]:
        """Yield each place as (kind, name); the venue is ("venue", "")."""
        if self.venue:
            yield "venue", ""
        for kind, names in (("unit", self.units), ("cell", self.cells), ("zone", self.zones)):
            for name in sorted(names):
                yield kind, name

    @classmethod
    def of(cls, targets: Iterable[tuple[str, str]]) -> "Scope":
        """Return the scope of targets as `targets` yields them."""
        known = set(targets)
        by_kind = {kind: frozenset(name for k, name in known if k == kind) for kind in ("unit", "cell", "zone")}
        return cls(by_kind["unit"], by_kind["cell"], by_kind["zone"])


@dataclass(frozen=True, slots=True)
class Window:
    """A span of local time, once or by a rule again and again: an opening, or else a closure.

    `start` and `end` are local, without time zone. An opening says when a place is open; outside all of its openings it
    is closed, and a place without any is open unless closed otherwise.
    """

    name: str
    start: datetime
    end: datetime
    rrule: str = ""
    scope: Scope = Scope()
    opens: bool = False
    stop_running: bool = False


def check(window: Window, zone: ZoneInfo) -> None:
    """Raise BadCalendar for a window that ends before it starts, or whose rule is none or never occurs."""
    if window.start.year not in YEARS or window.end.year not in YEARS:
        raise BadCalendar(f"starts and ends must lie in the years {YEARS[0]} to {YEARS[-1]}")
    if window.end <= window.start:
        raise BadCalendar(f"it ends at {window.end}, not after its start at {window.start}")
    if window.end - window.start > DURATION_MAX:
        raise BadCalendar(f"it lasts longer than {DURATION_MAX.days} days")
    if window.rrule and next(iter(_parsed(window.rrule, window.start, zone)), None) is None:
        raise BadCalendar(f"the rule {window.rrule!r} never occurs")


def instants(window: Window, zone: ZoneInfo) -> Span:
    """Return when a window starts and ends the first time."""
    return _span(window.start, window.end - window.start, zone)


def spans(window: Window, zone: ZoneInfo, from_ns: int, to_ns: int) -> list[Span]:
    """Return the occurrences of a window that overlap the time from `from_ns` to `to_ns`, whole, in order."""
    duration = window.end - window.start
    first = _local(from_ns, zone) - duration - timedelta(days=1)
    last = _local(to_ns, zone) + timedelta(days=1)
    found = []
    for start in _starts(window, zone, first, last):
        span = _span(start, duration, zone)
        if span[0] < to_ns and span[1] > from_ns:
            found.append(span)
    return found


def closures(windows: Sequence[Window], zone: ZoneInfo, from_ns: int, to_ns: int) -> tuple[Closure, ...]:
    """Return all times in which something is closed, from `from_ns` to `to_ns`, in order of start.

    Nothing is known beyond: what is closed at `to_ns` is told as closed until then.
    """
    found: list[Closure] = []
    for window in windows:
        if not window.opens:
            within = [(max(start, from_ns), min(end, to_ns)) for start, end in spans(window, zone, from_ns, to_ns)]
            found += [_closure(window.scope, span, stop_running=window.stop_running) for span in _merged(within)]
    for scope, openings in _openings(windows):
        opened = [span for window in openings for span in spans(window, zone, from_ns, to_ns)]
        found += [_closure(scope, span) for span in _gaps(_merged(opened), from_ns, to_ns)]
    return tuple(sorted(found, key=lambda closure: (closure.start_ns, closure.end_ns)))


def never_open(windows: Sequence[Window], zone: ZoneInfo, zones_of: Mapping[tuple[str, str], str]) -> str | None:
    """Return a sentence if the windows together leave the venue, or a part of it, closed for ever.

    For ever: for a year after the last of the openings that bind the place has begun to hold.
    zones_of: the zone, or "", of every unit and cell, by ("unit", name) or ("cell", name).
    """
    named = {target for window in windows for target in window.scope.targets()}
    places = {("venue", ""), *(target for target in named if target[0] == "zone")}
    places |= {place for place, own in zones_of.items() if place in named or ("zone", own) in named}
    seen: set[frozenset[tuple[str, str]]] = set()
    for place in sorted(places):
        own_zone = zones_of.get(place, "")
        binding = {("venue", ""), place, ("zone", own_zone)} if own_zone else {("venue", ""), place}
        # What the same windows bind is open at the same times: thousands of units of one zone are one question.
        question = frozenset(binding & named)
        if question in seen:
            continue
        seen.add(question)
        held = [w for w in windows if not binding.isdisjoint(w.scope.targets())]
        begins = [w.start for w in held if w.opens] or [w.start for w in held]
        if not begins:
            continue
        from_ns = _unix_ns(max(begins), zone)
        to_ns = from_ns + 367 * DAY_NS
        # Told for this place alone, so that its own openings and the venue's are cut with each other.
        closed = [
            (closure.start_ns, closure.end_ns)
            for target in binding
            for closure in closures(_narrowed(held, target), zone, from_ns, to_ns)
        ]
        if not _gaps(_merged(closed), from_ns, to_ns):
            return f"{' '.join(part for part in place if part)} would never open"
    return None


@lru_cache(maxsize=16)
def upcoming(windows: tuple[Window, ...], zone: ZoneInfo, day: int, days: int) -> tuple[Closure, ...]:
    """Return `closures` from the start of a day since the epoch (UTC) on, for a number of days; remembered."""
    return closures(windows, zone, day * DAY_NS, (day + days) * DAY_NS)


def local_time(unix_ns: int, zone: ZoneInfo) -> datetime:
    """Return what a clock in the time zone shows, to the second, without time zone."""
    return _local(unix_ns, zone).replace(microsecond=0)


def _starts(window: Window, zone: ZoneInfo, first: datetime, last: datetime) -> Iterator[datetime]:
    """Yield the local starts from `first` to `last`, a bounded number. Raises BadCalendar for a rule that is none."""
    if not window.rrule:
        if first <= window.start <= last:
            yield window.start
        return
    _parsed(window.rrule, window.start, zone)
    count = 0
    for later in _parsed(window.rrule, _near(window, first), zone):
        start = later.replace(year=later.year - _SHIFT_YEARS)
        if start > last or count >= OCCURRENCES_MAX:
            return
        if start >= first:
            count += 1
            yield start


def _near(window: Window, first: datetime) -> datetime:
    """Return a start from which the rule gives the same occurrences from `first` on, without all those before."""
    parts = dict(part.split("=") for part in window.rrule.upper().removeprefix("RRULE:").split(";"))
    step_days = {"DAILY": 1, "WEEKLY": 7}.get(parts["FREQ"], 0) * int(parts.get("INTERVAL", "1"))
    if not step_days or "COUNT" in parts:
        return window.start
    # One period less, for a week that the rule begins on another day than the start.
    periods = (first - window.start).days // step_days - 1
    return window.start + timedelta(days=max(periods, 0) * step_days)


@lru_cache(maxsize=1024)
def _parsed(text: str, start: datetime, zone: ZoneInfo) -> rrule:
    """Return the rule, 7,600 years later. Raises BadCalendar."""
    if len(text) > RULE_LENGTH_MAX:
        raise BadCalendar(f"the rule has {len(text)} characters, at most {RULE_LENGTH_MAX}")
    parts: dict[str, str] = {}
    for part in text.upper().removeprefix("RRULE:").split(";"):
        key, equals, value = part.partition("=")
        if not equals or key not in _PARTS:
            known = f"known here are {', '.join(_PARTS)}; the time of day is that of the start"
            raise BadCalendar(f"the rule {text!r} has a part {part!r}; {known}")
        if key in parts:
            raise BadCalendar(f"the rule {text!r} has two parts {key}")
        parts[key] = value
    if parts.get("FREQ") not in _FREQUENCIES:
        raise BadCalendar(f"the rule {text!r} has FREQ={parts.get('FREQ', '')}, not one of {', '.join(_FREQUENCIES)}")
    for key in ("INTERVAL", "COUNT"):
        if key in parts and not (parts[key].isdecimal() and 1 <= int(parts[key]) <= _NUMBER_MAX):
            raise BadCalendar(f"the rule {text!r} has {key}={parts[key]}, not a number from 1 to {_NUMBER_MAX}")
    if "COUNT" in parts and "UNTIL" in parts:
        raise BadCalendar(f"the rule {text!r} has both COUNT and UNTIL")
    if "UNTIL" in parts:
        until = _until(parts["UNTIL"], text, zone)
        parts["UNTIL"] = f"{until.year + _SHIFT_YEARS:04d}{until:%m%dT%H%M%S}"
    try:
        found = rrulestr(
            ";".join(f"{key}={value}" for key, value in parts.items()),
            dtstart=start.replace(year=start.year + _SHIFT_YEARS),
        )
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
        raise BadCalendar(f"the rule {text!r} is not one of RFC 5545: {error}") from None
    if not isinstance(found, rrule):
        raise BadCalendar(f"the rule {text!r} is more than one rule")
    return found


def _until(value: str, text: str, zone: ZoneInfo) -> datetime:
    """Return the local time until which a rule holds; a date means the whole day."""
    match = _UNTIL.fullmatch(value)
    try:
        if match is None:
            raise ValueError
        date, clock, utc = match.groups()
        until = datetime.strptime(date + (clock or "235959"), "%Y%m%d%H%M%S")
    except ValueError:
        raise BadCalendar(f"the rule {text!r} has UNTIL={value}, not a date or a time like 20271231T170000Z") from None
    if utc:
        until = until.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None)
    # What recurs longer than we look is never seen to end.
    return max(min(until, datetime(YEARS[-1], 1, 1)), datetime(YEARS[0], 1, 1))


def _local(unix_ns: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(unix_ns / S_NS, zone).replace(tzinfo=None)


def _unix_ns(local: datetime, zone: ZoneInfo) -> int:
    return int(local.replace(tzinfo=zone, fold=0).timestamp()) * S_NS


def _span(start: datetime, duration: timedelta, zone: ZoneInfo) -> Span:
    start_ns, end_ns = _unix_ns(start, zone), _unix_ns(start + duration, zone)
    if end_ns <= start_ns:
        # It begins in the hour that the clocks skip and ends after it.
        end_ns = start_ns + int(duration.total_seconds()) * S_NS
    return start_ns, end_ns


def _merged(found: Iterable[Span]) -> list[Span]:
    """Return the union of spans as spans that do not touch, in order."""
    merged: list[Span] = []
    for start, end in sorted(found):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _gaps(found: Sequence[Span], from_ns: int, to_ns: int) -> list[Span]:
    """Return what spans in order, that do not touch, leave between `from_ns` and `to_ns`."""
    gaps = []
    for start, end in found:
        if start > from_ns:
            gaps.append((from_ns, min(start, to_ns)))
        from_ns = max(from_ns, end)
        if from_ns >= to_ns:
            return gaps
    return [*gaps, (from_ns, to_ns)]


def _openings(windows: Sequence[Window]) -> list[tuple[Scope, tuple[Window, ...]]]:
    """Return the openings of each place, those with the same openings together."""
    by_target: dict[tuple[str, str], list[Window]] = {}
    for window in windows:
        if window.opens:
            for target in window.scope.targets():
                by_target.setdefault(target, []).append(window)
    groups: dict[tuple[Window, ...], list[tuple[str, str]]] = {}
    for target, openings in by_target.items():
        groups.setdefault(tuple(openings), []).append(target)
    return [(Scope.of(targets), openings) for openings, targets in groups.items()]


def _narrowed(windows: Sequence[Window], target: tuple[str, str]) -> list[Window]:
    """Return the windows of a place, each as if it were for this place alone."""
    return [replace(w, scope=Scope.of([target])) for w in windows if target in w.scope.targets()]


def _closure(scope: Scope, span: Span, *, stop_running: bool = False) -> Closure:
    return Closure(
        span[0], span[1], scope.units, scope.cells, scope.zones, venue=scope.venue, stop_running=stop_running
    )
