"""What operators do for units over their lives: health by hand, calibration."""

import hashlib

from palaestra.errors import PalaestraError
from palaestra.v1 import fleet_service_pb2
from scheduler import events, names
from scheduler.commands.bodies import happen
from scheduler.health import ORDERED, Health
from scheduler.sql import Row
from scheduler.writer import Command, Transaction

NS_PER_S = 1_000_000_000
# A calibration for longer than that is a slip of the pen.
CALIBRATION_MAX_S = 10 * 366 * 86_400


def set_health(venue: str, request: fleet_service_pb2.SetUnitHealthRequest) -> Command[None]:
    """Return the command that sets a unit's health by hand.

    Raises NOT_FOUND, ETAG_MISMATCH, INVALID_FIELD for a state that nobody can order, HEALTH_STEP_REFUSED,
    REQUEST_ID_REUSED.
    """
    happening = {health.value: happening for health, happening in ORDERED.items()}.get(request.health)

    def command(tx: Transaction) -> None:
        if happening is None:
            known = ", ".join(health.name for health in ORDERED)
            raise _invalid("health", f"is {request.health}, must be one of {known}")
        row = _find(tx, venue, request.name)
        if _seen(tx, request, request.request_id):
            return
        _match(row, request.etag)
        if happen(tx, row["id"], happening, request.cause or "an operator's word") in (Health.SUSPECT, Health.GOOD):
            # Who brings a unit back has seen to what broke before, and wants it checked now.
            tx.db.execute("DELETE FROM unit_fault WHERE unit = ?", (row["id"],))
            tx.db.execute("UPDATE body SET check_after_ns = 0 WHERE unit = ?", (row["id"],))
            tx.wants_cycle = True

    return command


def calibrate(venue: str, request: fleet_service_pb2.CalibrateUnitRequest) -> Command[None]:
    """Return the command that writes down until when a unit's calibration is good.

    Raises NOT_FOUND, ETAG_MISMATCH, INVALID_FIELD for a time in the past or beyond reason, REQUEST_ID_REUSED.
    """
    expire_ns = None
    if request.HasField("expire_time"):
        expire_ns = request.expire_time.seconds * NS_PER_S + request.expire_time.nanos

    def command(tx: Transaction) -> None:
        row = _find(tx, venue, request.name)
        if _seen(tx, request, request.request_id):
            return
        if expire_ns is not None and not tx.now_ns < expire_ns <= tx.now_ns + CALIBRATION_MAX_S * NS_PER_S:
            raise _invalid("expire_time", "must lie in the future, by ten years at most")
        _match(row, request.etag)
        tx.db.execute("UPDATE body SET calibrated_ns = ? WHERE unit = ?", (expire_ns, row["id"]))
        events.unit_changed(tx, row["id"], "unit.calibrated", "")
        tx.wants_cycle = True

    return command


def _find(tx: Transaction, venue: str, name: str) -> Row:
    owner, unit = names.parts(name)
    row: Row | None = tx.db.execute("SELECT * FROM unit WHERE id = ?", (unit,)).fetchone()
    if row is None or owner != venue:
        raise PalaestraError("NOT_FOUND", f"{name} not found")
    return row


def _match(row: Row, etag: str) -> None:
    if etag and etag != str(row["version"]):
        raise PalaestraError("ETAG_MISMATCH", f"unit {row['id']} has etag {row['version']}, not {etag}")


def _seen(
    tx: Transaction,
    request: fleet_service_pb2.SetUnitHealthRequest | fleet_service_pb2.CalibrateUnitRequest,
    request_id: str,
) -> bool:
    """Note the request's id; return whether it was here before. Raises REQUEST_ID_REUSED for another body."""
    if not request_id:
        return False
    kind = type(request).__name__.encode()
    digest = hashlib.sha256(kind + b"\0" + request.SerializeToString(deterministic=True)).digest()
    earlier = tx.db.execute("SELECT sha256 FROM fleet_request WHERE request_id = ?", (request_id,)).fetchone()
    if earlier is None:
        tx.db.execute("INSERT INTO fleet_request VALUES (?, ?, ?)", (request_id, digest, tx.now_ns))
        return False
    if earlier["sha256"] != digest:
        raise PalaestraError(
            "REQUEST_ID_REUSED",
            f"request id {request_id} was used for another request",
            metadata={"request_id": request_id},
        )
    tx.repeated = True
    return True


def _invalid(field: str, problem: str) -> PalaestraError:
    return PalaestraError("INVALID_FIELD", f"{field}: {problem}", metadata={"field": field, "rule": problem})
