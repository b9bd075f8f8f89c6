"""A made-up city and the project's halls, as the scheduler takes them: it starts on them, decides, and keeps hours."""

import tomllib
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from palaestra.v1 import host_service_pb2
from scheduler import names
from scheduler.calendar import Scope, Window, never_open
from scheduler.commands import fleet, running
from scheduler.configuration import BadConfiguration, Settings, settings_of
from sim.venues.city import Robot, city, merged, scenarios
from tests.scheduler.site import job
from tests.scheduler.stepping import Venue

ROOT = Path(__file__).parents[2]
ROBOTS = [Robot("own_arm", "arm"), Robot("own_humanoid", "humanoid"), Robot("own_quadruped", "quadruped")]
SHANGHAI = ZoneInfo("Asia/Shanghai")


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=SHANGHAI).timestamp()) * 1_000_000_000


def test_a_city_is_loaded_whole_and_its_jobs_run_in_its_hours(tmp_path: Path) -> None:
    """Every unit and cell is there; at night nothing starts, on the next working morning all that fits does."""
    tables = merged(city(60, scenarios(12), 2, ROBOTS, seed=3))
    venue = Venue(tmp_path / "db", tables)
    venue.clock.set_by_s((at("2026-01-13T03:00:00") - venue.clock.now_ns()) / 1e9)
    units = [
        host_service_pb2.UnitDeclaration(
            unit=names.unit("city", unit["id"]), robot_model=unit["robot"], robot_class=unit["robot"][4:], joint_count=7
        )
        for unit in tables["unit"]
    ]
    hello = host_service_pb2.HostHello(host="h", instance="i1", address="127.0.0.1:1", units=units)
    venue.run(fleet.hello(hello, "city", {"h/i1"}))
    venue.run(running.register_runner("r", "r/one", 2))
    for vendor in ("aurora", "borealis", "cygnus"):
        venue.run(venue.submit(job(units=2), vendor))
    venue.run(venue.decide)
    night = venue.rows("SELECT count(*) AS n FROM lease")[0]["n"]
    venue.clock.set_by_s((at("2026-01-13T09:30:00") - venue.clock.now_ns()) / 1e9)
    venue.run(venue.decide)

    assert venue.rows("SELECT count(*) AS n FROM unit")[0]["n"] == 60
    assert venue.rows("SELECT count(*) AS n FROM cell")[0]["n"] == len(tables["cell"]) >= 12
    assert venue.settings.venue.chargers == len(tables["charger"])
    assert night == 0
    assert venue.rows("SELECT count(*) AS n FROM lease")[0]["n"] == 3


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "venues").glob("*.toml")), ids=lambda path: path.stem)
def test_the_projects_halls_are_venues_to_the_scheduler_as_well(path: Path) -> None:
    tables = tomllib.loads(path.read_text())
    venue = Settings.load(path).venue

    assert [unit.id for unit in venue.units] == [unit["id"] for unit in tables["unit"]]
    assert [cell.zone for cell in venue.cells] == [cell.get("zone", "") for cell in tables["cell"]]
    assert venue.chargers == len(tables["charger"])


def test_chargers_that_are_told_and_placed_must_be_as_many() -> None:
    tables: dict[str, Any] = {"venue": {"id": "hall"}, "vendor": [{"id": "acme"}]}
    placed = [{"id": "a"}, {"id": "b"}]

    assert settings_of(tables | {"charger": placed}, "v").venue.chargers == 2
    assert settings_of(tables | {"venue": {"id": "hall", "chargers": 2}, "charger": placed}, "v").venue.chargers == 2
    assert settings_of(tables | {"venue": {"id": "hall", "chargers": 5}}, "v").venue.chargers == 5
    with pytest.raises(BadConfiguration, match=r"chargers is 3, but there are 2 \[\[charger\]\] tables"):
        settings_of(tables | {"venue": {"id": "hall", "chargers": 3}, "charger": placed}, "v")


def test_units_that_the_same_windows_bind_are_one_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a place ever opens is asked once for each zone, however many units stand there, and answered the same."""
    asked = []

    def counted(windows: Any, zone: Any, from_ns: int, to_ns: int) -> Any:
        asked.append(1)
        return real(windows, zone, from_ns, to_ns)

    from scheduler import calendar

    real = calendar.closures
    monkeypatch.setattr(calendar, "closures", counted)
    days = Window("days", datetime(2026, 1, 5, 8), datetime(2026, 1, 5, 18), "FREQ=DAILY", Scope(zones=frozenset("z")),
                  opens=True)  # fmt: skip
    few, many = ({("unit", f"u{n}"): "z" for n in range(count)} for count in (2, 500))
    assert never_open([days], SHANGHAI, few) is None
    first = len(asked)
    assert never_open([days], SHANGHAI, many) is None

    assert len(asked) == 2 * first
    shut = Window("shut", datetime(2026, 1, 5), datetime(2026, 1, 6), "FREQ=DAILY", Scope(zones=frozenset("z")))
    assert never_open([days, shut], SHANGHAI, many) == "unit u0 would never open"
