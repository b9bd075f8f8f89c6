"""Opening hours, maintenance and blackouts: local time, recurrence, and rules that mean harm."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler import calendar
from scheduler.calendar import DAY_NS, BadCalendar, Scope, Window, check, closures, never_open, spans
from scheduler.configuration import BadConfiguration, settings_of
from scheduler.state import Closure
from tests.scheduler.site import VENUE

BERLIN, SHANGHAI, LORD_HOWE = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Shanghai"), ZoneInfo("Australia/Lord_Howe")
WEEKDAYS = "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR"


def at(text: str) -> int:
    """Return an instant in UTC in ns."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


def window(start: str, end: str, rrule: str = "", **fields: object) -> Window:
    return Window("w", datetime.fromisoformat(start), datetime.fromisoformat(end), rrule, **fields)  # type: ignore[arg-type]


def told(found: list[tuple[int, int]]) -> list[str]:
    """Return spans as UTC hours."""
    return [
        f"{datetime.fromtimestamp(start / 1e9, UTC):%d %H:%M}-{datetime.fromtimestamp(end / 1e9, UTC):%d %H:%M}"
        for start, end in found
    ]


def covers(found: tuple[Closure, ...], instant_ns: int) -> bool:
    return any(closure.start_ns <= instant_ns < closure.end_ns for closure in found)


def test_opening_hours_keep_the_local_time_when_the_clocks_change() -> None:
    """In Berlin the clocks went forward on 29 March 2026: 08:00 is 07:00 UTC before and 06:00 UTC after."""
    shift = window("2026-03-02T08:00", "2026-03-02T18:00", WEEKDAYS)
    found = spans(shift, BERLIN, at("2026-03-27"), at("2026-03-31"))

    assert told(found) == ["27 07:00-27 17:00", "30 06:00-30 16:00"]


def test_a_night_shift_ends_at_its_local_time_and_so_lasts_an_hour_less_or_more() -> None:
    night = window("2026-01-01T22:00", "2026-01-02T06:00", "FREQ=DAILY")
    spring = spans(night, BERLIN, at("2026-03-28T12:00"), at("2026-03-29T12:00"))
    autumn = spans(night, BERLIN, at("2026-10-24T12:00"), at("2026-10-25T12:00"))

    assert told(spring) == ["28 21:00-29 04:00"]
    assert told(autumn) == ["24 20:00-25 05:00"]


def test_open_round_the_clock_leaves_no_gap_on_the_days_of_23_and_25_hours() -> None:
    daily = window("2026-01-01T00:00", "2026-01-02T00:00", "FREQ=DAILY", opens=True)
    for zone in (BERLIN, LORD_HOWE, SHANGHAI):
        assert closures([daily], zone, at("2026-02-01"), at("2026-12-01")) == ()


@pytest.mark.parametrize(("start", "end"), [("02:30", "02:45"), ("02:30", "03:15"), ("01:30", "02:30")])
def test_an_hour_that_the_clocks_skip_still_has_its_closure(start: str, end: str) -> None:
    closed = window(f"2026-03-29T{start}", f"2026-03-29T{end}")
    ((start_ns, end_ns),) = spans(closed, BERLIN, at("2026-03-28"), at("2026-03-30"))

    assert end_ns > start_ns


def test_the_hour_that_comes_twice_is_meant_the_first_time() -> None:
    closed = window("2026-10-25T02:30", "2026-10-25T02:45")

    assert told(spans(closed, BERLIN, at("2026-10-24"), at("2026-10-26"))) == ["25 00:30-25 00:45"]


def test_an_occurrence_that_began_before_is_told_whole() -> None:
    week = window("2026-03-02T00:00", "2026-03-08T00:00", "FREQ=WEEKLY")

    assert told(spans(week, SHANGHAI, at("2026-03-05"), at("2026-03-05T01:00"))) == ["01 16:00-07 16:00"]


def test_outside_all_of_its_openings_a_place_is_closed_and_others_are_not() -> None:
    morning = window(
        "2026-03-02T08:00", "2026-03-02T12:00", "FREQ=DAILY", scope=Scope(units=frozenset({"a"})), opens=True
    )
    noon = window(
        "2026-03-02T12:00", "2026-03-02T14:00", "FREQ=DAILY", scope=Scope(units=frozenset({"a", "b"})), opens=True
    )
    found = closures([morning, noon], ZoneInfo("UTC"), at("2026-03-05"), at("2026-03-06"))

    assert {(tuple(c.units), *told([(c.start_ns, c.end_ns)])) for c in found} == {
        (("a",), "05 00:00-05 08:00"),
        (("a",), "05 14:00-06 00:00"),
        (("b",), "05 00:00-05 12:00"),
        (("b",), "05 14:00-06 00:00"),
    }
    assert not any(c.venue for c in found)


def test_until_is_read_in_utc_as_a_local_time_or_as_a_whole_day() -> None:
    for until in ("20260304T070000Z", "20260304T080000", "20260304"):
        daily = window("2026-03-02T08:00", "2026-03-02T09:00", f"FREQ=DAILY;UNTIL={until}")
        assert len(spans(daily, BERLIN, at("2026-03-01"), at("2026-04-01"))) == 3, until
    daily = window("2026-03-02T08:00", "2026-03-02T09:00", "FREQ=DAILY;UNTIL=20260304T065959Z")
    assert len(spans(daily, BERLIN, at("2026-03-01"), at("2026-04-01"))) == 2


def test_the_last_friday_of_the_month_and_the_leap_day_are_where_the_calendar_has_them() -> None:
    """Rules are expanded 7,600 years later: weekdays and leap years there are the same."""
    friday = window("2026-01-30T08:00", "2026-01-30T09:00", "FREQ=MONTHLY;BYDAY=-1FR")
    found = spans(friday, SHANGHAI, at("2026-01-01"), at("2026-07-01"))
    days = [datetime.fromtimestamp(start / 1e9, SHANGHAI) for start, _ in found]
    assert [(day.month, day.day) for day in days] == [(1, 30), (2, 27), (3, 27), (4, 24), (5, 29), (6, 26)]
    leap = window("2024-02-29T08:00", "2024-02-29T09:00", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29")
    assert told(spans(leap, SHANGHAI, at("2025-01-01"), at("2029-01-01"))) == ["29 00:00-29 01:00"]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("FREQ=SECONDLY", "SECONDLY"),
        ("FREQ=MINUTELY;INTERVAL=1", "MINUTELY"),
        ("FREQ=HOURLY", "HOURLY"),
        ("FREQ=DAILY;BYMINUTE=0,1,2,3", "BYMINUTE"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL=0"),
        ("FREQ=DAILY;INTERVAL=-1", "INTERVAL=-1"),
        ("FREQ=DAILY;COUNT=0", "COUNT=0"),
        ("FREQ=DAILY;COUNT=3;UNTIL=20270101", "both"),
        ("FREQ=DAILY;UNTIL=20261345", "UNTIL"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "never occurs"),
        ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "never occurs"),
        ("FREQ=DAILY;INTERVAL=7;BYDAY=TU", "never occurs"),
        ("FREQ=DAILY;UNTIL=20200101", "never occurs"),
        ("FREQ=WEEKLY;BYDAY=XX", "RFC 5545"),
        ("FREQ=WEEKLY;FREQ=DAILY", "two parts"),
        ("DTSTART:20260101T000000\nRRULE:FREQ=DAILY", "part"),
        ("FREQ=MONTHLY;BYMONTHDAY=" + ",".join(["1"] * 400), "characters"),
        ("often", "part"),
    ],
)
def test_a_rule_that_is_none_or_too_dense_or_never_occurs_is_refused_with_the_reason(rule: str, words: str) -> None:
    with pytest.raises(BadCalendar, match=words):
        check(window("2026-03-02T08:00", "2026-03-02T09:00", rule), BERLIN)


def test_an_end_before_the_start_and_years_out_of_bounds_are_refused() -> None:
    for start, end, words in (
        ("2026-03-02T08:00", "2026-03-02T08:00", "not after"),
        ("2026-03-02T08:00", "2026-03-01T08:00", "not after"),
        ("1999-03-02T08:00", "2026-03-01T08:00", "years"),
        ("2026-03-02T08:00", "2028-03-02T08:00", "366 days"),
    ):
        with pytest.raises(BadCalendar, match=words):
            check(window(start, end), BERLIN)


@given(
    st.sampled_from(("FREQ=DAILY", "FREQ=DAILY;INTERVAL=3", WEEKDAYS, "FREQ=MONTHLY;BYMONTHDAY=-1", "FREQ=WEEKLY")),
    st.integers(0, 23), st.integers(1, 60), st.integers(0, 400), st.sampled_from((BERLIN, SHANGHAI, LORD_HOWE)),
)  # fmt: skip
def test_openings_and_what_they_leave_cover_all_time_and_never_overlap(
    rule: str, hour: int, length_h: int, day: int, zone: ZoneInfo
) -> None:
    start = datetime(2026, 1, 5, hour)
    opening = Window("o", start, start + timedelta(hours=length_h), rule, opens=True)
    from_ns = at("2026-01-01") + day * DAY_NS
    to_ns = from_ns + 20 * DAY_NS
    closed = closures([opening], zone, from_ns, to_ns)
    opened = spans(opening, zone, from_ns, to_ns)

    for instant_ns in range(from_ns, to_ns, DAY_NS // 48):
        assert covers(closed, instant_ns) != any(start <= instant_ns < end for start, end in opened)


@given(
    st.sampled_from(("FREQ=DAILY;INTERVAL=5", "FREQ=WEEKLY;INTERVAL=3;BYDAY=SU,MO,TH;WKST=SU", "FREQ=WEEKLY;INTERVAL=2",
                     "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,SU;WKST=MO", "FREQ=DAILY;INTERVAL=2;BYMONTH=1,3;COUNT=300")),
    st.integers(1, 28), st.integers(0, 900),
)  # fmt: skip
def test_late_occurrences_are_those_found_by_counting_from_the_start(rule: str, day: int, later: int) -> None:
    """Looked at from late on, rules are not expanded from their start; looked at from before it, they are."""
    shift = window(f"2026-01-{day:02d}T08:00", f"2026-01-{day:02d}T09:00", rule)
    from_ns = at("2026-01-01") + later * DAY_NS
    to_ns = from_ns + 30 * DAY_NS
    everything = spans(shift, SHANGHAI, at("2025-12-01"), to_ns)

    assert spans(shift, SHANGHAI, from_ns, to_ns) == [span for span in everything if span[1] > from_ns]


@given(st.integers(0, 30), st.integers(1, 5))
def test_what_is_remembered_by_the_day_is_what_is_computed_for_the_moment(day: int, days: int) -> None:
    shift = window("2026-03-02T08:00", "2026-03-02T18:00", WEEKDAYS, opens=True)
    found = calendar.upcoming((shift,), BERLIN, at("2026-03-20") // DAY_NS + day, days)
    from_ns = at("2026-03-20") + day * DAY_NS

    assert found == closures([shift], BERLIN, from_ns, from_ns + days * DAY_NS)


def test_a_place_that_would_never_open_is_found_with_what_binds_it_together() -> None:
    """A unit open at weekends in a venue open on weekdays; a closure of every day; a season that is fine."""
    venue = window("2026-01-05T08:00", "2026-01-05T18:00", WEEKDAYS, opens=True)
    weekend = window("2026-01-10T08:00", "2026-01-10T18:00", "FREQ=WEEKLY;BYDAY=SA,SU",
                     scope=Scope(units=frozenset({"u"})), opens=True)  # fmt: skip
    shut = window("2026-01-05T00:00", "2026-01-06T00:00", "FREQ=DAILY", scope=Scope(zones=frozenset({"z"})))
    season = window("2030-06-01T00:00", "2030-09-01T00:00", opens=True)
    zones_of = {("unit", "u"): "", ("unit", "v"): "z"}

    assert never_open([venue, weekend], BERLIN, zones_of) == "unit u would never open"
    assert never_open([venue, shut], BERLIN, zones_of) == "unit v would never open"
    assert never_open([shut], BERLIN, {}) == "zone z would never open"
    assert never_open([venue, season], BERLIN, zones_of) is None
    assert never_open([], BERLIN, zones_of) is None


FILE = {
    "venue": {"id": "hall", "time_zone": "Europe/Berlin"},
    "zone": [{"id": "north", "exclusive": True}],
    "cell": [{"id": "bench", "scenario": "assembly", "level": 2, "zone": "north"}],
    "unit": [{"id": "arm-1", "robot": "own_arm", "zone": "north"}],
    "opening": [
        {"name": "hours", "start": datetime(2026, 1, 5, 8), "end": datetime(2026, 1, 5, 18), "rrule": WEEKDAYS}
    ],
    "closure": [
        {"name": "arms rest", "start": datetime(2026, 1, 5, 8), "end": datetime(2026, 1, 5, 9), "units": ["arm-1"],
         "rrule": "FREQ=WEEKLY", "stop_running": True}
    ],
}  # fmt: skip


def test_a_venue_file_has_zones_openings_and_closures() -> None:
    venue = settings_of(VENUE | FILE, "f").venue

    assert (venue.time_zone, venue.units[0].zone, venue.cells[0].zone) == ("Europe/Berlin", "north", "north")
    assert [(w.name, w.opens, w.scope.venue, w.stop_running) for w in venue.windows] == [
        ("hours", True, True, False),
        ("arms rest", False, False, True),
    ]
    assert venue.zones[0].exclusive


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"venue": {"id": "hall", "time_zone": "Mars/Olympus"}}, "time_zone"),
        ({"venue": {"id": "hall", "time_zone": "../../etc/passwd"}}, "time_zone"),
        ({"unit": [{"id": "arm-1", "robot": "own_arm", "zone": "south"}]}, "unit arm-1: zone 'south'"),
        ({"zone": [{"id": "north"}, {"id": "north"}]}, "occurs twice"),
        ({"zone": [{"id": "north", "exclusive": "yes"}]}, "exclusive"),
        ({"opening": [FILE["opening"][0] | {"units": ["arm-9"]}]}, "no unit 'arm-9'"),  # type: ignore[operator]
        ({"opening": [FILE["opening"][0] | {"units": []}]}, "not a list of names"),  # type: ignore[operator]
        ({"opening": [FILE["opening"][0] | {"zones": ["east"]}]}, "no zone 'east'"),  # type: ignore[operator]
        ({"opening": [FILE["opening"][0] | {"rrule": "FREQ=SECONDLY"}]}, "SECONDLY"),  # type: ignore[operator]
        ({"opening": [FILE["opening"][0] | {"end": datetime(2026, 1, 5, 7)}]}, "not after"),  # type: ignore[operator]
        ({"opening": [FILE["opening"][0] | {"end": "18:00"}]}, "not a local time"),  # type: ignore[operator]
        ({"opening": [FILE["opening"][0] | {"stop_running": True}]}, "stop_running"),  # type: ignore[operator]
        ({"opening": [FILE["opening"][0] | {"start": datetime(2026, 1, 5, 8, tzinfo=UTC)}]}, "local"),  # type: ignore[operator]
        ({"closure": [{"start": datetime(2026, 1, 5), "end": datetime(2026, 1, 6), "rrule": "FREQ=DAILY"}]},
         "venue would never open"),
    ],
)  # fmt: skip
def test_a_calendar_that_cannot_be_is_refused_with_its_place_in_the_file(change: dict[str, object], words: str) -> None:
    with pytest.raises(BadConfiguration, match=words) as caught:
        settings_of(VENUE | FILE | change, "hall.toml")

    assert str(caught.value).startswith("hall.toml: ")
