"""Brings the venue's configuration into the database, and a restarted scheduler back to its senses."""

import json
import logging
import math
import struct
from dataclasses import replace

from scheduler import database, events, state
from scheduler.clock import Anchor, jump_ns
from scheduler.commands import bodies, ending, timetable
from scheduler.configuration import BadConfiguration, Party, Venue
from scheduler.health import VENUE_VENDOR
from scheduler.tree import FIELDS, REST
from scheduler.writer import Command, Transaction

log = logging.getLogger(__name__)

ANCHOR_KEY = "clock"
ATTEMPT_TIMES = ("grant_ns", "start_ns", "end_ns", "cancel_ns", "preempt_ns", "stop_by_ns", "safe_ns")


def apply(venue: Venue) -> Command[None]:
    """Return the command that makes vendors, cells and the floor plan those of the configuration.

    Nothing that has a history is deleted: a unit or cell that is no longer configured stays until somebody retires it.
    Raises BadConfiguration if the database is another venue's.
    """

    def command(tx: Transaction) -> None:
        db = tx.db
        other = db.execute("SELECT id FROM venue WHERE id != ?", (venue.id,)).fetchone()
        if other is not None:
            raise BadConfiguration(f"[venue] id is {venue.id!r}, the database is that of venue {other['id']!r}")
        db.execute(
            """
            INSERT INTO venue (id, display_name, width_m, depth_m, seats, chargers, time_zone)
            VALUES (?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (id) DO UPDATE SET display_name = excluded.display_name, width_m = excluded.width_m,
              depth_m = excluded.depth_m, seats = excluded.seats, chargers = excluded.chargers,
              time_zone = excluded.time_zone
            """,
            (venue.id, venue.name, venue.width_m, venue.depth_m, venue.seats, venue.chargers, venue.time_zone),
        )
        bodies.keep_care(tx, venue.care)
        db.execute("INSERT OR IGNORE INTO vendor (id, display_name, weight) VALUES (?, '', 1.0)", (VENUE_VENDOR,))
        for vendor in venue.vendors:
            db.execute(
                """
                INSERT INTO vendor (id, display_name, weight) VALUES (?, ?, ?)
                ON CONFLICT (id) DO UPDATE SET display_name = excluded.display_name, weight = excluded.weight
                """,
                (vendor.id, vendor.name, vendor.weight),
            )
        _apply_tree(tx, venue)
        for cell in venue.cells:
            db.execute(
                """
                INSERT INTO cell
                  (id, display_name, scenario, sector, level, x_m, y_m, yaw_rad, width_m, depth_m, zone)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                ON CONFLICT (id) DO UPDATE SET display_name = excluded.display_name, scenario = excluded.scenario,
                  sector = excluded.sector, level = excluded.level, x_m = excluded.x_m, y_m = excluded.y_m,
                  yaw_rad = excluded.yaw_rad, width_m = excluded.width_m, depth_m = excluded.depth_m,
                  zone = excluded.zone
                """,
                (cell.id, cell.name, cell.scenario, cell.sector, cell.level, cell.x_m, cell.y_m, cell.yaw_rad,
                 cell.width_m, cell.depth_m, cell.zone),
            )  # fmt: skip
        for unit in venue.units:
            db.execute(
                """
                INSERT INTO unit (id, robot_model, x_m, y_m, yaw_rad, labels, zone) VALUES (?, ?, ?, ?, ?, ?, ?)
                ON CONFLICT (id) DO UPDATE SET robot_model = excluded.robot_model, x_m = excluded.x_m,
                  y_m = excluded.y_m, yaw_rad = excluded.yaw_rad, labels = excluded.labels, zone = excluded.zone
                """,
                (unit.id, unit.robot_model, unit.x_m, unit.y_m, unit.yaw_rad, json.dumps(dict(unit.labels)), unit.zone),
            )
            db.execute(
                "UPDATE body SET rest_fraction = ?, rest_s = ? WHERE unit = ?",
                (unit.rest_fraction, unit.rest_s, unit.id),
            )
        timetable.replace(tx, venue.zones, venue.windows)

    return command


def _apply_tree(tx: Transaction, venue: Venue) -> None:
    """Make the tree that of the configuration; who is no longer in it, but has a history, stays without privileges."""
    db = tx.db
    db.execute("DELETE FROM party WHERE vendor IS NULL")
    db.execute(
        """
        UPDATE party SET configured = 0, parent = CASE WHEN project = '' AND id = vendor THEN '' ELSE parent END,
          guarantee_units = 0, guarantee_slots = 0, guarantee_cells = 0
        """
    )
    # A vendor that has, or once had, projects owns its other jobs through a leaf beside them.
    divided = {row["vendor"] for row in db.execute("SELECT DISTINCT vendor FROM party WHERE id != vendor")}
    for party in venue.parties:
        node = party.node
        rest = party.vendor in divided and node.vendor == party.vendor
        _put_party(tx, replace(party, leaf=party.leaf and not rest))
        if rest and party.leaf:
            _put_party(tx, Party(state.Vendor(f"{node.vendor}/{REST}", parent=node.vendor), party.vendor, leaf=True))
    for vendor, leaf in db.execute("SELECT vendor, id FROM party WHERE leaf = 1 AND project = ''").fetchall():
        if leaf != vendor:
            db.execute("UPDATE job SET leaf = ? WHERE vendor = ? AND leaf = ? AND state < 5", (leaf, vendor, vendor))
            db.execute("UPDATE lease SET leaf = ? WHERE leaf = ? AND state IN (1, 2, 3, 5)", (leaf, vendor))
            db.execute(
                "UPDATE used_mean SET leaf = ? WHERE leaf = ? AND NOT EXISTS (SELECT 1 FROM used_mean WHERE leaf = ?)",
                (leaf, vendor, leaf),
            )


def _put_party(tx: Transaction, party: Party) -> None:
    node = party.node
    amounts = [int(getattr(node.guarantee, field)) for field in FIELDS]
    limits = [_or_none(getattr(node.limit, field)) for field in FIELDS]
    tx.db.execute(
        """
        INSERT INTO party VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)
        ON CONFLICT (id) DO UPDATE SET parent = excluded.parent, vendor = excluded.vendor, project = excluded.project,
          leaf = excluded.leaf, weight = excluded.weight, guarantee_units = excluded.guarantee_units,
          guarantee_slots = excluded.guarantee_slots, guarantee_cells = excluded.guarantee_cells,
          limit_units = excluded.limit_units, limit_slots = excluded.limit_slots, limit_cells = excluded.limit_cells,
          starts_per_hour = excluded.starts_per_hour, leases_max = excluded.leases_max,
          configured = excluded.configured
        """,
        (node.vendor, node.parent, party.vendor or None, party.project, int(party.leaf), node.weight, *amounts,
         *limits, party.starts_per_hour, _or_none(node.leases_max)),
    )  # fmt: skip


def _or_none(value: float) -> int | None:
    return None if math.isinf(value) else int(value)


def recover(lease_ttl_s: float, anchor: Anchor) -> Command[None]:
    """Return the command for the start: every lease that still drives gets one full time to live of grace.

    If the clock was set since the last start, what is under way is moved along with it, so that it lasts as long as it
    should. What has a date stays at its date: reservations, closures, calibrations.
    """

    def command(tx: Transaction) -> None:
        row = tx.db.execute("SELECT value FROM meta WHERE key = ?", (ANCHOR_KEY,)).fetchone()
        shift_ns = jump_ns(Anchor.from_bytes(row["value"]) if row else None, anchor)
        if shift_ns:
            _shift(tx, shift_ns)
        database.put(tx.db, ANCHOR_KEY, anchor.to_bytes())
        database.put(tx.db, ending.TTL_KEY, struct.pack("<d", lease_ttl_s))
        grace_ns = tx.now_ns + int(lease_ttl_s * 1e9)
        rows = tx.db.execute("SELECT id FROM lease WHERE state IN (1, 2)").fetchall()
        for (lease_id,) in rows:
            # Not the later of old and new: a wall clock that was set back must not make a lease immortal.
            tx.db.execute("UPDATE lease SET expire_ns = min(?, end_by_ns) WHERE id = ?", (grace_ns, lease_id))
            events.lease_changed(tx, lease_id, "lease.graced")

    return command


def _shift(tx: Transaction, shift_ns: int) -> None:
    """Move what is under way by as much as the clock was set."""
    db, values = tx.db, {"ns": shift_ns}
    log.warning("the clock was set by %+.0f s; leases go on for as long as they should", shift_ns / 1e9)
    open_leases = "SELECT id FROM lease WHERE state IN (1, 2, 3, 5)"
    for name in ("lease_unit", "lease_slot", "lease_cell"):
        db.execute(
            f"UPDATE {name} SET grant_ns = grant_ns + :ns WHERE free_ns IS NULL AND lease_id IN ({open_leases})", values
        )
    for name, columns, rows in (
        ("attempt", ATTEMPT_TIMES, f"lease_id IN ({open_leases})"),
        ("lease", ("grant_ns", "expire_ns", "end_by_ns"), "state IN (1, 2, 3, 5)"),
        # Back-offs, rests and repeats of checks: none may be cut short.
        ("job", ("not_before_ns",), "state = 1 AND not_before_ns > 0"),
        ("body", ("cool_ns",), "cool_ns > 0"),
        ("body", ("check_after_ns",), "check_after_ns > 0"),
        ("body", ("charge_try_ns",), "charge_try_ns > 0"),
    ):
        moved = ", ".join(f"{column} = {column} + :ns" for column in columns)
        db.execute(f"UPDATE {name} SET {moved} WHERE {rows}", values)
    message = f"the clock was set by {shift_ns / 1e9:+.0f} s"
    for lease_id, job_id in db.execute(f"SELECT id, job_id FROM lease WHERE id IN ({open_leases})").fetchall():
        events.lease_changed(tx, lease_id, "lease.moved", message)
        events.job_changed(tx, job_id, "job.moved", message)
