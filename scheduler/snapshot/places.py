"""Units, sim slots, cells, seats and chargers, each with whether it is free and when it will be."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from scheduler import body
from scheduler.body import Battery, Condition
from scheduler.care import Care, care_of
from scheduler.health import Health, serves
from scheduler.sql import Connection, Row, portions
from scheduler.state import Cell, SimSlot, Unit, Unnamed

# `sent`: it is on its way to a charger.
_UNITS = """
    SELECT u.id, u.robot_model, u.robot_class, u.maker, u.labels, u.zone, u.joint_count, u.online, u.latched,
      u.fault, u.epoch, u.safe_epoch, u.battery, b.payload_kg, b.end_effector, b.sensors, b.firmware, b.capacity_wh,
      b.work_power_w, b.charge_power_w, b.plugged, b.cool_ns, b.calibrated_ns, b.wear_ms, b.setup, b.health,
      lu.lease_id, l.end_by_ns,
      EXISTS (SELECT 1 FROM unit_order o WHERE o.unit = u.id AND o.action = 'charge' AND o.done_ns IS NULL) AS sent
    FROM unit u JOIN body b ON b.unit = u.id
    LEFT JOIN lease_unit lu ON lu.unit = u.id AND lu.free_ns IS NULL
    LEFT JOIN lease l ON l.id = lu.lease_id
"""


@dataclass(frozen=True, slots=True)
class Body:
    """What of a unit changes with time alone.

    Attributes:
        condition: Of its body.
        idle: It may leave its place: nobody has it, its last lease is over, and it can move.
        present: It has not been given up, or somebody has it still.
    """

    condition: Condition
    idle: bool
    present: bool

    def ages(self, now_ns: int) -> bool:
        """Whether its times will be others later though nothing happens to it."""
        condition = self.condition
        return condition.battery is not None or condition.calibrated_ns is not None or condition.cool_ns > now_ns


def units(
    db: Connection, now_ns: int | None = None, *, chargers: bool = False, only: Iterable[str] | None = None
) -> tuple[Unit, ...]:
    """Return the units that have not been given up, with whether each is free and usable.

    now_ns: None leaves out what depends on time: when a unit will be ready, and how long it could work.
    chargers: whether the venue has any, so that a battery fills again without somebody's doing. only: Among these.
    """
    found = bodies(db, only)
    if now_ns is None:
        return tuple(unit for unit, body in found if body.present)
    care = care_of(db)
    return tuple(timed(unit, body, care, now_ns, chargers=chargers) for unit, body in found if body.present)


def bodies(db: Connection, only: Iterable[str] | None = None) -> list[tuple[Unit, Body]]:
    """Return all units, or some, without what depends on time, each with its body; also those that are given up."""
    rows = list(_rows(db, _UNITS, "u.id", only))
    if not rows:
        # As at most looks.
        return []
    care = care_of(db)
    return [(_unit(row, care), _body(row)) for row in rows]


def _unit(row: Row, care: Care) -> Unit:
    return Unit(
        unit=row["id"],
        robot_model=row["robot_model"],
        robot_class=row["robot_class"],
        maker=row["maker"],
        labels=_parsed(row["labels"]),
        free=row["lease_id"] is None,
        usable=bool(row["online"])
        and not row["latched"]
        and not row["fault"]
        and serves(Health(row["health"]), care)
        and _at_rest_or_leased(row),
        end_ns=row["end_by_ns"],
        joint_count=row["joint_count"],
        payload_kg=row["payload_kg"],
        end_effector=row["end_effector"],
        sensors=tuple(_parsed(row["sensors"])),
        firmware=row["firmware"],
        wear_h=row["wear_ms"] / 3_600_000,
        setup=row["setup"],
        zone=row["zone"],
    )


def _body(row: Row) -> Body:
    idle = (
        row["lease_id"] is None
        and row["safe_epoch"] >= row["epoch"]
        and bool(row["online"])
        and not row["latched"]
        and not row["fault"]
    )
    return Body(condition_of(row), idle, row["health"] != Health.RETIRED or row["lease_id"] is not None)


def timed(unit: Unit, of: Body, care: Care, now_ns: int, *, chargers: bool) -> Unit:
    """Return a unit with what depends on time; without battery and calibration, that is only that it cools down."""
    condition = of.condition
    if not of.ages(now_ns):
        return unit
    if condition.battery is None and condition.calibrated_ns is None:
        return replace(unit, ready_ns=condition.cool_ns, renewed_ns=condition.cool_ns)
    return replace(
        unit,
        ready_ns=body.ready_ns(condition, now_ns),
        good_for_s=body.good_for_s(condition, care.reserve, now_ns),
        good_at_best_s=body.good_at_best_s(condition, care.reserve),
        on_charger_s=body.on_charger_s(condition, now_ns),
        renewed_ns=body.renewed_ns(condition, care.reserve, now_ns, chargers=chargers),
        wants_charge=chargers and of.idle and body.wants_charge(condition, care.charge_below),
    )


def _at_rest_or_leased(row: Row) -> bool:
    """A unit without a lease may be given out only after its host confirmed that the last one is over."""
    return row["lease_id"] is not None or row["safe_epoch"] >= row["epoch"]


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Any:
    """Many units say the same of themselves: parse each text once. Nobody may change what comes out."""
    return json.loads(text)


def condition_of(row: Row) -> Condition:
    """Return the condition of a unit's body, from a row of unit and body with `sent` and `end_by_ns`."""
    return Condition(
        battery=_battery(row["capacity_wh"], row["work_power_w"], row["charge_power_w"]),
        charge=row["battery"],
        charging=bool(row["plugged"] or row["sent"]),
        cool_ns=row["cool_ns"],
        calibrated_ns=row["calibrated_ns"],
        lease_end_ns=row["end_by_ns"],
    )


@lru_cache(maxsize=4096)
def _battery(capacity_wh: float | None, work_power_w: float, charge_power_w: float) -> Battery | None:
    return None if capacity_wh is None else Battery(capacity_wh, work_power_w, charge_power_w)


def charging(db: Connection, now_ns: int) -> tuple[tuple[int, int], ...]:
    """Return the chargers in use by units on them or on their way, as (predicted end, count)."""
    return charging_until((body for _, body in bodies(db)), now_ns)


def charging_until(bodies: Iterable[Body], now_ns: int) -> tuple[tuple[int, int], ...]:
    """Return the same of known bodies."""
    return tuple(
        sorted((max(now_ns, body.ready_ns(one.condition, now_ns)), 1) for one in bodies if one.condition.charging)
    )


def slots(db: Connection, only: Iterable[str] | None = None) -> tuple[SimSlot, ...]:
    """Return all sim slots, or those among `only`."""
    query = """
        SELECT s.id, ls.lease_id, l.end_by_ns FROM sim_slot s
        LEFT JOIN lease_slot ls ON ls.slot = s.id AND ls.free_ns IS NULL
        LEFT JOIN lease l ON l.id = ls.lease_id
        """
    rows = _rows(db, query, "s.id", only)
    return tuple(SimSlot(row["id"], row["lease_id"] is None, row["end_by_ns"]) for row in rows)


def cells(db: Connection, only: Iterable[str] | None = None) -> tuple[Cell, ...]:
    """Return all cells, or those among `only`."""
    query = """
        SELECT c.id, c.scenario, c.level, c.zone, lc.lease_id, l.end_by_ns FROM cell c
        LEFT JOIN lease_cell lc ON lc.cell = c.id AND lc.free_ns IS NULL
        LEFT JOIN lease l ON l.id = lc.lease_id
        """
    rows = _rows(db, query, "c.id", only)
    return tuple(
        Cell(row["id"], row["scenario"], row["level"], row["lease_id"] is None, row["end_by_ns"], row["zone"])
        for row in rows
    )


def _rows(db: Connection, query: str, key: str, only: Iterable[str] | None) -> Iterable[Row]:
    if only is None:
        return db.execute(query)
    return (row for some, text in portions(list(only)) for row in db.execute(f"{query} WHERE {key} IN {text}", some))


def seats(db: Connection) -> Unnamed:
    """Return the operators' seats."""
    return _unnamed(db, "seats")


def chargers(db: Connection, now_ns: int) -> Unnamed:
    """Return the chargers: in use by leases and by units that charge, or are on their way to it."""
    leased = _unnamed(db, "chargers")
    return Unnamed(leased.count, tuple(sorted(leased.busy + charging(db, now_ns))))


def _unnamed(db: Connection, column: str) -> Unnamed:
    """Return what has no names; in use by every lease that has not ended, also while its units come to rest."""
    busy = db.execute(f"SELECT end_by_ns, {column} FROM lease WHERE state IN (1, 2, 3, 5) AND {column} > 0")
    return Unnamed(count_of(db, column), tuple(sorted((row[0], row[1]) for row in busy)))


def count_of(db: Connection, column: str) -> int:
    """Return how many seats or chargers the venue has."""
    found: int = db.execute(f"SELECT coalesce(sum({column}), 0) FROM venue").fetchone()[0]
    return found
