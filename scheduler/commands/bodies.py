"""What happens to units' bodies, written down: work, rest, faults, charging, and what all that makes of their health.

These are parts of other commands; nothing here ends leases or jobs.
"""

import json

from palaestra.v1 import body_pb2, host_service_pb2, job_pb2
from scheduler import body, database, events
from scheduler.care import Care, care_of
from scheduler.health import VENUE_VENDOR, Happening, Health, after, faults_are_many
from scheduler.lifecycle import Step
from scheduler.sql import Row
from scheduler.writer import Transaction

# An operator's stop says nothing about the robot. The control core's own words for it.
PROTECTIVE_STOP = "protective stop"
# A unit that was sent to a charger and is not on it is not sent again at once.
CHARGE_AGAIN_S = 60.0
# A change of charge is worth an event when it passes a multiple of this.
BATTERY_STEP = 0.05
FAULTS_KEPT = 100


def keep_care(tx: Transaction, care: Care) -> None:
    """Bring the venue's rules in."""
    database.put(tx.db, "care", care.to_json().encode())


def happen(tx: Transaction, unit: str, happening: Happening, cause: str) -> Health:
    """Let something happen to a unit's health; return its health after it. Raises HEALTH_STEP_REFUSED."""
    row = tx.db.execute("SELECT health FROM body WHERE unit = ?", (unit,)).fetchone()
    before = Health(row["health"])
    now = after(before, happening)
    if now is not before:
        tx.db.execute(
            "UPDATE body SET health = ?, health_cause = ?, check_after_ns = 0 WHERE unit = ?", (now, cause[:500], unit)
        )
        events.unit_changed(tx, unit, f"unit.{now.name.lower()}", cause)
        tx.wants_cycle = True
    return now


def declared(tx: Transaction, unit: str, message: body_pb2.Body, *, restarted: bool) -> None:
    """Write down what a unit's host says that it is. restarted: by another process than before."""
    battery = message.battery if message.HasField("battery") else None
    tx.db.execute(
        """
        UPDATE body SET payload_kg = ?, end_effector = ?, sensors = ?, firmware = ?, capacity_wh = ?, work_power_w = ?,
          charge_power_w = ? WHERE unit = ?
        """,
        (message.payload_kg, message.end_effector, json.dumps(sorted(message.sensors)), message.firmware,
         battery and battery.capacity_wh, battery and battery.work_power_w, battery and battery.charge_power_w, unit),
    )  # fmt: skip
    if restarted:
        happen(tx, unit, Happening.CAME_ONLINE, "its host has started")


def felt(tx: Transaction, row: Row, status: host_service_pb2.UnitStatus) -> None:
    """Take from a beat what concerns the body. row: the unit as it was before the beat."""
    unit = row["id"]
    was, now = (fault not in ("", PROTECTIVE_STOP) for fault in (row["fault"], status.fault))
    # A fault that is told in more words, or in other ones, is the same fault until it is reset.
    if now and not was:
        _fault(tx, unit, status.fault)
    elif was and not now:
        happen(tx, unit, Happening.RESET, "")
    plugged = tx.db.execute("SELECT plugged FROM body WHERE unit = ?", (unit,)).fetchone()["plugged"]
    if status.charging != bool(plugged):
        tx.db.execute("UPDATE body SET plugged = ? WHERE unit = ?", (int(status.charging), unit))
        events.unit_changed(tx, unit, "unit.charging" if status.charging else "unit.unplugged", "")
        tx.wants_cycle = True
    elif status.HasField("battery") and _step(status.battery) != _step(row["battery"]):
        events.unit_changed(tx, unit, "unit.battery", f"{status.battery:.0%}")
        tx.wants_cycle = True


def _step(charge: float | None) -> int | None:
    # Rounded first, so that 95 % counts as 19 steps and not as 18.999...
    return None if charge is None else int(round(charge / BATTERY_STEP, 6))


def _fault(tx: Transaction, unit: str, fault: str) -> None:
    care = care_of(tx.db)
    tx.db.execute("INSERT INTO unit_fault (unit, time_ns, fault) VALUES (?, ?, ?)", (unit, tx.now_ns, fault))
    rows = tx.db.execute(
        "SELECT time_ns FROM unit_fault WHERE unit = ? ORDER BY time_ns DESC LIMIT ?", (unit, FAULTS_KEPT)
    ).fetchall()
    tx.db.execute("DELETE FROM unit_fault WHERE unit = ? AND time_ns < ?", (unit, rows[-1]["time_ns"]))
    if faults_are_many([row["time_ns"] for row in rows], tx.now_ns, care):
        cause = f"{care.faults_max} faults within {care.faults_window_h:g} h, the last: {fault}"
        happen(tx, unit, Happening.FAULTS_MANY, cause)
    else:
        happen(tx, unit, Happening.FAULT, fault)


def rested(tx: Transaction, lease_id: int, unit: str) -> None:
    """Write down what a lease has done to a unit that now rests: wear, rest, setup, work since its last check."""
    row = tx.db.execute(
        """
        SELECT lu.grant_ns, lu.free_ns, l.vendor, j.spec, b.rest_fraction, b.rest_s FROM lease_unit lu
        JOIN lease l ON l.id = lu.lease_id JOIN job j ON j.id = l.job_id JOIN body b ON b.unit = lu.unit
        WHERE lu.lease_id = ? AND lu.unit = ?
        """,
        (lease_id, unit),
    ).fetchone()
    care = care_of(tx.db)
    worked_ns = row["free_ns"] - row["grant_ns"]
    fraction = care.rest_fraction if row["rest_fraction"] is None else row["rest_fraction"]
    least_s = care.rest_s if row["rest_s"] is None else row["rest_s"]
    cool_ns = tx.now_ns + int(body.rest_s(worked_ns / 1e9, fraction, least_s) * 1e9)
    worked_ms = worked_ns // 1_000_000
    if row["vendor"] == VENUE_VENDOR:
        tx.db.execute("UPDATE body SET wear_ms = wear_ms + ?, cool_ns = ? WHERE unit = ?", (worked_ms, cool_ns, unit))
        return
    setup = body.setup_of(job_pb2.Job.FromString(row["spec"]), row["vendor"])
    tx.db.execute(
        """
        UPDATE body SET wear_ms = wear_ms + ?, work_unchecked_ms = work_unchecked_ms + ?,
          jobs_unchecked = jobs_unchecked + 1, cool_ns = ?, setup = ? WHERE unit = ?
        """,
        (worked_ms, worked_ms, cool_ns, setup, unit),
    )


def work_ended(tx: Transaction, attempt: Row, vendor: str, step: Step, failure: job_pb2.Failure | None) -> None:
    """Let the end of an attempt say what it says about the health of its units."""
    rows = tx.db.execute("SELECT unit FROM lease_unit WHERE lease_id = ?", (attempt["lease_id"],)).fetchall()
    units = [row["unit"] for row in rows]
    if vendor == VENUE_VENDOR:
        for unit in units:
            _checked(tx, unit, step, failure)
    elif step is Step.SUCCEED:
        for unit in units:
            happen(tx, unit, Happening.JOB_ENDED_WELL, "a job ended well")
    elif failure is not None and failure.reason == "UNIT_FAULT" and len(units) == 1:
        # In a gang only the fault that a unit latches tells which of them it was. An operator's stop is no fault.
        latched = tx.db.execute("SELECT fault FROM unit WHERE id = ?", (units[0],)).fetchone()["fault"]
        if latched != PROTECTIVE_STOP and PROTECTIVE_STOP not in failure.message:
            happen(tx, units[0], Happening.JOB_LOST, f"a job was lost: {failure.message}")


def _checked(tx: Transaction, unit: str, step: Step, failure: job_pb2.Failure | None) -> None:
    care = care_of(tx.db)
    if step is Step.SUCCEED:
        tx.db.execute(
            "UPDATE body SET check_ns = ?, jobs_unchecked = 0, work_unchecked_ms = 0 WHERE unit = ?", (tx.now_ns, unit)
        )
        happen(tx, unit, Happening.CHECK_PASSED, "it passed its check")
        return
    tx.db.execute(
        "UPDATE body SET check_after_ns = ? WHERE unit = ?", (tx.now_ns + int(care.check_retry_s * 1e9), unit)
    )
    if failure is not None and failure.reason == "CHECK_FAILED":
        happen(tx, unit, Happening.CHECK_FAILED, failure.message)


def check_waited(tx: Transaction) -> bool:
    """Return whether a unit has waited out the pause before its next check; nothing else would wake a quiet venue."""
    row = tx.db.execute(
        """
        SELECT 1 FROM body b JOIN unit u ON u.id = b.unit
        WHERE b.check_after_ns > 0 AND b.check_after_ns <= ? AND u.online = 1 AND u.latched = 0 LIMIT 1
        """,
        (tx.now_ns,),
    ).fetchone()
    return row is not None


def charge(tx: Transaction, unit: str) -> None:
    """Send an idle unit to a charger. Does nothing if it is on its way, or was sent a moment ago and did not go."""
    row = tx.db.execute("SELECT plugged, charge_try_ns FROM body WHERE unit = ?", (unit,)).fetchone()
    if row["plugged"] or tx.now_ns < row["charge_try_ns"] + CHARGE_AGAIN_S * 1e9:
        return
    order = host_service_pb2.UnitOrder(charge=host_service_pb2.Charge())
    tx.db.execute("UPDATE body SET charge_try_ns = ? WHERE unit = ?", (tx.now_ns, unit))
    tx.db.execute(
        "INSERT INTO unit_order (unit, action, body) VALUES (?, 'charge', ?)", (unit, order.SerializeToString())
    )
    events.unit_changed(tx, unit, "unit.ordered", "charge")
