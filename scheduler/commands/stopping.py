"""Protective stops of a unit, of a cell and of the whole venue. Requests to units' hosts, not safety-rated stops.

A stop is refused for nothing but a place that is not there: not for an etag, waiting orders, or a unit that is offline.
"""

import math
from collections.abc import Iterable

from palaestra.errors import PalaestraError
from palaestra.v1 import host_service_pb2
from scheduler import events
from scheduler.sql import Row
from scheduler.writer import Command, Transaction

ACTION = "protective_stop"


def stop_unit(unit: str, reason: str = "") -> Command[list[str]]:
    """Return the command that asks a unit to stop. Raises NOT_FOUND."""

    def command(tx: Transaction) -> list[str]:
        if tx.db.execute("SELECT 1 FROM unit WHERE id = ?", (unit,)).fetchone() is None:
            raise PalaestraError("NOT_FOUND", f"unit {unit} not found")
        return _ask(tx, [unit], reason)

    return command


def stop_cell(cell: str, reason: str = "") -> Command[list[str]]:
    """Return the command that asks the units of a cell to stop, and tells which they are. Raises NOT_FOUND.

    Those of the lease that holds the cell, wherever they stand, and those that stand in it, whosever they are.
    """

    def command(tx: Transaction) -> list[str]:
        found = tx.db.execute("SELECT * FROM cell WHERE id = ?", (cell,)).fetchone()
        if found is None:
            raise PalaestraError("NOT_FOUND", f"cell {cell} not found")
        leased = tx.db.execute(
            """
            SELECT u.unit FROM lease_cell c JOIN lease_unit u ON u.lease_id = c.lease_id
            WHERE c.cell = ? AND c.free_ns IS NULL AND u.free_ns IS NULL
            """,
            (cell,),
        ).fetchall()
        standing = [row["id"] for row in tx.db.execute("SELECT * FROM unit").fetchall() if stands_in(row, found)]
        return _ask(tx, {*(row["unit"] for row in leased), *standing}, reason)

    return command


def stop_venue(reason: str = "") -> Command[list[str]]:
    """Return the command that asks every unit to stop, and tells which they are."""

    def command(tx: Transaction) -> list[str]:
        return _ask(tx, [row["id"] for row in tx.db.execute("SELECT id FROM unit").fetchall()], reason)

    return command


def stands_in(unit: Row, cell: Row) -> bool:
    """Return whether a unit's place on the floor plan is in a cell, its edge included: a rectangle about its centre."""
    dx_m, dy_m = unit["x_m"] - cell["x_m"], unit["y_m"] - cell["y_m"]
    cos, sin = math.cos(cell["yaw_rad"]), math.sin(cell["yaw_rad"])
    along_m, across_m = cos * dx_m + sin * dy_m, cos * dy_m - sin * dx_m
    # Rounding must not put a unit on the edge outside.
    return bool(abs(along_m) <= cell["width_m"] / 2 + 1e-9 and abs(across_m) <= cell["depth_m"] / 2 + 1e-9)


def _ask(tx: Transaction, units: Iterable[str], reason: str) -> list[str]:
    body = host_service_pb2.UnitOrder(protective_stop=host_service_pb2.ProtectiveStop()).SerializeToString()
    asked = sorted(units)
    for unit in asked:
        last = tx.db.execute(
            "SELECT action FROM unit_order WHERE unit = ? AND done_ns IS NULL ORDER BY id DESC LIMIT 1", (unit,)
        ).fetchone()
        # One that waits already is enough, unless something else comes after it.
        if last is None or last["action"] != ACTION:
            tx.db.execute("INSERT INTO unit_order (unit, action, body) VALUES (?, ?, ?)", (unit, ACTION, body))
        events.unit_changed(tx, unit, "unit.ordered", f"{ACTION}: {reason}" if reason else ACTION)
    return asked
