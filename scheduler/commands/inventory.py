"""Brings the venue's configuration into the database, and a restarted scheduler back to its senses."""

import json
import math
from dataclasses import replace

from scheduler import events, state
from scheduler.commands import bodies, timetable
from scheduler.configuration import BadConfiguration, Party, Venue
from scheduler.health import VENUE_VENDOR
from scheduler.tree import FIELDS, REST
from scheduler.writer import Command, Transaction


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
                INSERT OR REPLACE INTO cell
                  (id, display_name, scenario, sector, level, x_m, y_m, yaw_rad, width_m, depth_m, zone)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
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
            db.execute("UPDATE OR IGNORE used_mean SET leaf = ? WHERE leaf = ?", (leaf, vendor))


def _put_party(tx: Transaction, party: Party) -> None:
    node = party.node
    amounts = [int(getattr(node.guarantee, field)) for field in FIELDS]
    limits = [_or_none(getattr(node.limit, field)) for field in FIELDS]
    tx.db.execute(
        "INSERT OR REPLACE INTO party VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)",
        (node.vendor, node.parent, party.vendor or None, party.project, int(party.leaf), node.weight, *amounts,
         *limits, party.starts_per_hour, _or_none(node.leases_max)),
    )  # fmt: skip


def _or_none(value: float) -> int | None:
    return None if math.isinf(value) else int(value)


def recover(lease_ttl_s: float) -> Command[None]:
    """Return the command for the start: every lease that still drives gets one full time to live of grace."""

    def command(tx: Transaction) -> None:
        grace_ns = tx.now_ns + int(lease_ttl_s * 1e9)
        rows = tx.db.execute("SELECT id FROM lease WHERE state IN (1, 2)").fetchall()
        for (lease_id,) in rows:
            # Not the later of old and new: a wall clock that was set back must not make a lease immortal.
            tx.db.execute("UPDATE lease SET expire_ns = min(?, end_by_ns) WHERE id = ?", (grace_ns, lease_id))
            events.lease_changed(tx, lease_id, "lease.graced")

    return command
