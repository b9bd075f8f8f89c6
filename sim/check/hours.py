"""When a venue's places are open, as its file tells: openings of one place that overlap, rules that never occur.

The scheduler expands the same windows (docs/calendar.md) and refuses what it cannot use; here is what an author did
not mean. Openings are compared over eight weeks from the later of two starts.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import combinations, pairwise
from typing import Any
from zoneinfo import available_timezones

from dateutil.rrule import rrule, rrulestr

from sim.check.finding import Key, nearest

LOOK_AHEAD = timedelta(weeks=8)
PAIRS_MAX = 2000
# Rules are expanded so much later: dateutil searches until the year 9999, and the calendar repeats after 400 years.
_SHIFT_YEARS = 7600
_YEARS = range(2000, 2400)
_PLURAL = {"unit": "units", "cell": "cells", "zone": "zones"}

Found = Iterator[tuple[Key, str]]
Span = tuple[datetime, datetime]


def wrong_hours(tables: Mapping[str, Any]) -> Found:
    """Yield (key, reason) for openings and closures that cannot be meant, of a file that fits its schema."""
    zone = tables["venue"].get("time_zone", "UTC")
    known = available_timezones()
    if known and zone not in known:
        yield ("venue", "time_zone"), f"{zone!r} is no IANA name of a time zone{nearest(zone, known)}"
    sound: list[tuple[int, Mapping[str, Any]]] = []
    for kind in ("opening", "closure"):
        for i, row in enumerate(tables.get(kind, ())):
            found = [*_window(tables, row, (kind, i))]
            yield from found
            if kind == "opening" and not found:
                sound.append((i, row))
    yield from _overlaps(sound)


def _window(tables: Mapping[str, Any], row: Mapping[str, Any], key: Key) -> Found:
    for kind, plural in _PLURAL.items():
        there = {other["id"] for other in tables.get(kind, ())}
        for name in row.get(plural, ()):
            # Units may come with their hosts: only a file that names some can miss one.
            if name not in there and (there or kind != "unit"):
                yield (*key, plural), f"there is no {kind} {name!r}{nearest(name, there)}"
    for end in ("start", "end"):
        value = row[end]
        if not isinstance(value, datetime) or value.tzinfo is not None or value.year not in _YEARS:
            yield (*key, end), f"{value!s} is no local time of the venue such as 2026-01-05T08:00:00"
            return
    if row["end"] <= row["start"]:
        yield (*key, "end"), f"it ends at {row['end']}, not after its start at {row['start']}"
        return
    if row.get("rrule"):
        try:
            if next(iter(_rule(row)), None) is None:
                yield (*key, "rrule"), f"the rule {row['rrule']!r} never occurs"
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
            yield (*key, "rrule"), f"the rule {row['rrule']!r} is not one of RFC 5545: {error}"
            return
        lasts = row["end"] - row["start"]
        starts = [start for start, _ in _spans(row, row["start"], row["start"] + LOOK_AHEAD)]
        if any(b - a < lasts for a, b in pairwise(starts)):
            yield (*key, "end"), f"it lasts {lasts}, longer than until it begins again: it overlaps itself"


def _overlaps(rows: Sequence[tuple[int, Mapping[str, Any]]]) -> Found:
    """Openings of one place that are open at once: the wider one would do, so that one of the two is a slip."""
    pairs = list(combinations(rows, 2))[:PAIRS_MAX]
    for (i, a), (j, b) in pairs:
        if all(set(a.get(plural, ())) == set(b.get(plural, ())) for plural in _PLURAL.values()):
            since = max(a["start"], b["start"])
            here, there = (_spans(row, since, since + LOOK_AHEAD) for row in (a, b))
            both = _first_common(here, there)
            if both is not None:
                one, other = (row.get("name", f"number {k + 1}") for k, row in ((i, a), (j, b)))
                yield ("opening", j), f"openings {one!r} and {other!r} of one place overlap at {both}"


def _spans(row: Mapping[str, Any], since: datetime, until: datetime) -> list[Span]:
    """Return the occurrences that overlap a time, in order."""
    lasts = row["end"] - row["start"]
    if not row.get("rrule"):
        return [(row["start"], row["end"])] if row["start"] < until and row["end"] > since else []
    found = []
    for later in _rule(row):
        start = later.replace(year=later.year - _SHIFT_YEARS)
        if start >= until:
            break
        if start + lasts > since:
            found.append((start, start + lasts))
    return found


def _rule(row: Mapping[str, Any]) -> rrule:
    parts = [part.split("=", 1) for part in row["rrule"].upper().removeprefix("RRULE:").split(";")]
    shifted = [[key, f"{int(value[:4]) + _SHIFT_YEARS}{value[4:].rstrip('Z')}" if key == "UNTIL" else value]
               for key, value in parts]  # fmt: skip
    start = row["start"]
    found = rrulestr(
        ";".join(f"{key}={value}" for key, value in shifted), dtstart=start.replace(year=start.year + _SHIFT_YEARS)
    )
    if not isinstance(found, rrule):
        raise ValueError("it is more than one rule")
    return found


def _first_common(here: Sequence[Span], there: Sequence[Span]) -> datetime | None:
    i = j = 0
    while i < len(here) and j < len(there):
        start, end = max(here[i][0], there[j][0]), min(here[i][1], there[j][1])
        if start < end:
            return start
        if here[i][1] <= there[j][1]:
            i += 1
        else:
            j += 1
    return None
