"""What unit hosts report, and orders to them."""

import json
from collections.abc import Container

from palaestra.errors import PalaestraError
from palaestra.v1 import host_service_pb2
from scheduler import events, names
from scheduler.commands import bodies
from scheduler.commands.ending import free_rested_units
from scheduler.sql import Row
from scheduler.writer import Command, Transaction

# A stop is right at any time; everything else is for a unit that is there.
KEPT_ORDERS = frozenset({"protective_stop"})
OPEN_ORDERS_MAX = 16
# Higher ones are no epochs but nonsense: as in the contract for a hello.
EPOCH_MAX = 10**12


def hello(message: host_service_pb2.HostHello, venue: str, live: Container[str]) -> Command[None]:
    """Return the command that registers a host and its units.

    live: "host/instance" of the connections that are open now. Raises HOST_CONFLICT if a unit is known otherwise
    (another model or serial) or is served by another live host.
    """

    def command(tx: Transaction) -> None:
        for declared in message.units:
            _declare(tx, message, declared, venue, live)

    return command


def _declare(
    tx: Transaction,
    message: host_service_pb2.HostHello,
    declared: host_service_pb2.UnitDeclaration,
    venue: str,
    live: Container[str],
) -> None:
    owner, unit = names.parts(declared.unit)
    if owner != venue:
        raise PalaestraError("HOST_CONFLICT", f"{declared.unit} is not of venue {venue}")
    row = tx.db.execute("SELECT * FROM unit WHERE id = ?", (unit,)).fetchone()
    if row is not None:
        if row["robot_model"] != declared.robot_model:
            raise PalaestraError(
                "HOST_CONFLICT", f"{declared.unit} is a {row['robot_model']} here, the host says {declared.robot_model}"
            )
        if row["serial"] and declared.serial and row["serial"] != declared.serial:
            raise PalaestraError(
                "HOST_CONFLICT", f"{declared.unit} has serial {row['serial']} here, the host says {declared.serial}"
            )
        holder = f"{row['host']}/{row['host_instance']}"
        if row["host"] != message.host and holder in live:
            raise PalaestraError("HOST_CONFLICT", f"{declared.unit} is served by host {row['host']} already")
    else:
        tx.db.execute("INSERT INTO unit (id, robot_model) VALUES (?, ?)", (unit, declared.robot_model))
    labels = dict(declared.labels) or (json.loads(row["labels"]) if row is not None else {})
    tx.db.execute(
        """
        UPDATE unit SET serial = ?, robot_class = ?, maker = ?, joint_count = ?, emulated = ?, host = ?,
          host_instance = ?, host_address = ?, online = 1, labels = ?,
          epoch = max(epoch, ?), safe_epoch = CASE WHEN ? > epoch THEN ? ELSE safe_epoch END
        WHERE id = ?
        """,
        (declared.serial, declared.robot_class, declared.maker, declared.joint_count, int(declared.emulated),
         message.host, message.instance, message.address, json.dumps(labels),
         declared.highest_epoch, declared.highest_epoch, declared.highest_epoch, unit),
    )  # fmt: skip
    restarted = row is not None and row["host_instance"] not in ("", message.instance)
    bodies.declared(tx, unit, declared.body, restarted=restarted)
    events.unit_changed(tx, unit, "unit.online", "")
    tx.wants_cycle = True


def offline(host: str, instance: str) -> Command[None]:
    """Return the command that notes that a host's connection is gone."""

    def command(tx: Transaction) -> None:
        rows = tx.db.execute(
            "SELECT id FROM unit WHERE host = ? AND host_instance = ? AND online = 1", (host, instance)
        ).fetchall()
        for (unit,) in rows:
            tx.db.execute("UPDATE unit SET online = 0 WHERE id = ?", (unit,))
            _drop_orders(tx, unit)
            events.unit_changed(tx, unit, "unit.offline", "its host is not connected")

    return command


def _drop_orders(tx: Transaction, unit: str) -> None:
    """Forget orders that were meant for the moment: a reset must not clear a fault that came later."""
    tx.db.execute(
        "UPDATE unit_order SET done_ns = ? WHERE unit = ? AND done_ns IS NULL AND action NOT IN ('protective_stop')",
        (tx.now_ns, unit),
    )


def all_offline() -> Command[None]:
    """Return the command for the scheduler's start: nobody is connected yet."""

    def command(tx: Transaction) -> None:
        for (unit,) in tx.db.execute("SELECT id FROM unit WHERE online = 1").fetchall():
            tx.db.execute("UPDATE unit SET online = 0 WHERE id = ?", (unit,))
            events.unit_changed(tx, unit, "unit.offline", "the scheduler was restarted")

    return command


def status_changed(
    host: str, instance: str, statuses: list[host_service_pb2.UnitStatus], orders_done: list[int]
) -> Command[None]:
    """Return the command that writes down what changed in a host's beat, as far as the units are still its own."""

    def command(tx: Transaction) -> None:
        for status in statuses:
            unit = names.parts(status.unit)[1]
            row = tx.db.execute(
                "SELECT * FROM unit WHERE id = ? AND host = ? AND host_instance = ?", (unit, host, instance)
            ).fetchone()
            if row is not None:
                _apply_status(tx, row, status)
        tx.db.executemany(
            """
            UPDATE unit_order SET done_ns = ? WHERE id = ? AND done_ns IS NULL
              AND unit IN (SELECT id FROM unit WHERE host = ? AND host_instance = ?)
            """,
            [(tx.now_ns, order, host, instance) for order in orders_done],
        )

    return command


def _apply_status(tx: Transaction, row: Row, status: host_service_pb2.UnitStatus) -> None:
    unit = row["id"]
    latched = int(status.motion == host_service_pb2.MOTION_STATE_LATCHED)
    # A host that holds an epoch which nobody granted takes no grant below it: the next one must be higher.
    epoch = max(row["epoch"], status.epoch if status.epoch <= EPOCH_MAX else 0)
    # A host can only speak for epochs that there are; and what was safe once stays safe.
    safe_epoch = max(row["safe_epoch"], min(status.safe_epoch, epoch))
    battery = status.battery if status.HasField("battery") else None
    tx.db.execute(
        "UPDATE unit SET latched = ?, fault = ?, epoch = ?, safe_epoch = ?, battery = ? WHERE id = ?",
        (latched, status.fault, epoch, safe_epoch, battery, unit),
    )
    if epoch > row["epoch"]:
        message = f"its host holds epoch {epoch}, which nobody granted: the highest was {row['epoch']}"
        events.unit_changed(tx, unit, "unit.epoch", message)
    bodies.felt(tx, row, status)
    if latched != row["latched"] or status.fault != row["fault"]:
        kind = "unit.fault" if status.fault else ("unit.stopped" if latched else "unit.reset")
        events.unit_changed(tx, unit, kind, status.fault)
        tx.wants_cycle = True
    if safe_epoch > row["safe_epoch"]:
        holder = tx.db.execute("SELECT lease_id FROM lease_unit WHERE unit = ? AND free_ns IS NULL", (unit,)).fetchone()
        if holder is not None:
            free_rested_units(tx, holder["lease_id"])
        else:
            events.unit_changed(tx, unit, "unit.idle", "")
        tx.wants_cycle = True


def order(unit: str, body: host_service_pb2.UnitOrder, etag: str, *, emulated_only: bool = False) -> Command[None]:
    """Return the command that queues an order for a unit's host.

    Raises NOT_FOUND, ETAG_MISMATCH, ROLE_DENIED for a fault into a real unit, UNIT_OFFLINE, QUEUE_FULL.
    """
    action = body.WhichOneof("action") or ""

    def command(tx: Transaction) -> None:
        row = tx.db.execute("SELECT * FROM unit WHERE id = ?", (unit,)).fetchone()
        if row is None:
            raise PalaestraError("NOT_FOUND", f"unit {unit} not found")
        if etag and etag != str(row["version"]):
            raise PalaestraError("ETAG_MISMATCH", f"unit {unit} has etag {row['version']}, not {etag}")
        if emulated_only and not row["emulated"]:
            raise PalaestraError("ROLE_DENIED", f"unit {unit} is real; faults are put into emulated units only")
        if not row["online"] and action not in KEPT_ORDERS:
            raise PalaestraError("UNIT_OFFLINE", f"unit {unit} is offline; it cannot carry out {action} now")
        waiting = tx.db.execute(
            "SELECT count(*) FROM unit_order WHERE unit = ? AND done_ns IS NULL", (unit,)
        ).fetchone()[0]
        if waiting >= OPEN_ORDERS_MAX:
            raise PalaestraError("QUEUE_FULL", f"{waiting} orders wait for unit {unit}", retry_after_s=1.0)
        tx.db.execute(
            "INSERT INTO unit_order (unit, action, body) VALUES (?, ?, ?)", (unit, action, body.SerializeToString())
        )
        events.unit_changed(tx, unit, "unit.ordered", action)

    return command
