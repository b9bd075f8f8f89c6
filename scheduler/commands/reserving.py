"""Advance reservations: held, given back, and what time does to them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from palaestra import ids
from palaestra.errors import PalaestraError
from palaestra.v1 import reservation_pb2, reservation_service_pb2
from scheduler import booking, events, names, resources, snapshot
from scheduler.commands import dependencies, ending
from scheduler.explain import impossible, unknown_selector
from scheduler.lifecycle import JobState, ReservationState, Step, advance_job
from scheduler.snapshot.closures import booked_claim
from scheduler.sql import Connection, Row
from scheduler.state import Booking, Claim, State, Vendor
from scheduler.writer import Command, Transaction

# A clock that is a little late must not make "now" the past.
LATE_S = 60.0
# Reservations that begin later than this are not looked at for what is out of order now.
INSPECT_AHEAD_S = 86_400.0
OUTPUT_FIELDS = ("name", "state", "degraded", "create_time", "close_time", "job_count", "etag")


@dataclass(frozen=True)
class Bounds:
    """How long, how far ahead and how many of a vendor; and how long an unused one is kept."""

    duration_max_s: float = 7 * 86_400.0
    horizon_s: float = 30 * 86_400.0
    open_max: int = 200
    grace_s: float = 900.0


def reserve(
    vendor: str, request: reservation_service_pb2.CreateReservationRequest, bounds: Bounds
) -> Command[reservation_pb2.Reservation]:
    """Return the command that holds a claim of `vendor`, or returns the reservation that its request id made before.

    Raises BAD_PERIOD, UNKNOWN_SELECTOR, IMPOSSIBLE_CLAIM, OVER_QUOTA, NO_CAPACITY, INVALID_FIELD, REQUEST_ID_REUSED.
    """

    def command(tx: Transaction) -> reservation_pb2.Reservation:
        spec = reservation_pb2.Reservation()
        spec.CopyFrom(request.reservation)
        for field in OUTPUT_FIELDS:
            spec.ClearField(field)
        spec.DiscardUnknownFields()
        body = spec.SerializeToString(deterministic=True)
        digest = hashlib.sha256(body).digest()
        if request.request_id:
            row = tx.db.execute(
                f"{resources.RESERVATIONS} WHERE r.vendor = ? AND r.request_id = ?", (vendor, request.request_id)
            ).fetchone()
            if row is not None:
                tx.repeated = True
                return _repeat(row, digest, request.request_id)
        start_ns, end_ns = spec.start_time.ToNanoseconds(), spec.end_time.ToNanoseconds()
        _check_period(start_ns, end_ns, tx.now_ns, bounds)
        claim = booked_claim(body, start_ns, end_ns)
        _check_claim(claim)
        _check_room(tx, Booking("", vendor, claim, start_ns, end_ns), bounds)
        if request.validate_only:
            spec.claim.duration.FromNanoseconds(end_ns - start_ns)
            return spec
        cursor = tx.db.execute(
            """
            INSERT INTO reservation (uid, vendor, request_id, request_sha256, state, spec, start_ns, end_ns, create_ns)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            (ids.new_id(), vendor, request.request_id or None, digest, ReservationState.PLANNED, body, start_ns,
             end_ns, tx.now_ns),
        )  # fmt: skip
        assert cursor.lastrowid is not None
        events.reservation_changed(tx, cursor.lastrowid, "reservation.created", "")
        # What would have started now may have to make room.
        tx.wants_cycle = True
        return resources.reservation(_row(tx.db, cursor.lastrowid))

    return command


def cancel(vendor: str, uid: str, etag: str) -> Command[None]:
    """Return the command that gives a reservation back. Repeats change nothing.

    Its waiting jobs are cancelled with it. Raises NOT_FOUND, ETAG_MISMATCH, RESERVATION_ENDED if it is over otherwise.
    """

    def command(tx: Transaction) -> None:
        row = _find(tx.db, vendor, uid)
        if row is None:
            raise PalaestraError("NOT_FOUND", f"{names.reservation(vendor, uid)} not found")
        if etag and etag != str(row["version"]):
            raise PalaestraError("ETAG_MISMATCH", f"reservation {uid} has etag {row['version']}, not {etag}")
        state = ReservationState(row["state"])
        if state is ReservationState.CANCELLED:
            tx.repeated = True
            return
        if state.over:
            raise PalaestraError("RESERVATION_ENDED", f"reservation {uid} is {state.name.lower()} already")
        _close(tx, row["id"], ReservationState.CANCELLED, "")

    return command


def check(tx: Transaction, vendor: str, name: str, claim: Claim) -> int:
    """Return the id of the reservation that a job of `vendor` with this claim can run in.

    Raises NOT_FOUND for one that is not the vendor's, RESERVATION_ENDED, and OUTSIDE_RESERVATION if the claim does not
    fit in it.
    """
    owner, uid = names.parts(name)
    row = _find(tx.db, vendor, uid) if owner == vendor else None
    if row is None:
        raise PalaestraError("NOT_FOUND", f"{name} not found")
    state = ReservationState(row["state"])
    if state.over or row["end_ns"] <= tx.now_ns:
        how = state.name.lower() if state.over else "over"
        raise PalaestraError("RESERVATION_ENDED", f"{name} is {how}", metadata={"reservation": name})
    held = Booking(
        uid, vendor, booked_claim(row["spec"], row["start_ns"], row["end_ns"]), row["start_ns"], row["end_ns"]
    )
    problem = booking.within(claim, held, tx.now_ns)
    if problem is not None:
        raise PalaestraError("OUTSIDE_RESERVATION", problem, metadata={"reservation": name})
    return int(row["id"])


def attach(tx: Transaction, reservation_id: int, job_id: int) -> None:
    """Note that a job runs in a reservation; `check` must have allowed it in the same transaction."""
    tx.db.execute("INSERT INTO reservation_job (job_id, reservation_id) VALUES (?, ?)", (job_id, reservation_id))


def sweep(grace_s: float) -> Command[None]:
    """Return the command that does what time brings: starts, ends, and giving up what nobody uses.

    Unused: since `grace_s` active, and no job of it has started or waits. A scheduler that was down when the
    reservation began counts from when it came back.
    """

    def command(tx: Transaction) -> None:
        rows = tx.db.execute("SELECT * FROM reservation WHERE state IN (1, 2)").fetchall()
        for row in rows:
            if row["end_ns"] <= tx.now_ns:
                _close(tx, row["id"], ReservationState.ENDED, "")
            elif row["state"] == ReservationState.PLANNED and row["start_ns"] <= tx.now_ns:
                tx.db.execute(
                    "UPDATE reservation SET state = ?, active_ns = ? WHERE id = ?",
                    (ReservationState.ACTIVE, tx.now_ns, row["id"]),
                )
                events.reservation_changed(tx, row["id"], "reservation.active", "")
                tx.wants_cycle = True
            elif (
                row["state"] == ReservationState.ACTIVE
                and tx.now_ns - row["active_ns"] > grace_s * 1e9
                and not _in_use(tx.db, row["id"])
            ):
                _close(tx, row["id"], ReservationState.UNUSED, f"no job came within {grace_s:g} s after its start")

    return command


def inspect() -> Command[None]:
    """Return the command that marks reservations which could not be kept whole with what is in order now.

    It also cancels jobs that came back into the queue, as after a runner's loss, when their reservation was over.
    """

    def command(tx: Transaction) -> None:
        _cancel_stranded(tx, "j.state = 1 AND r.state >= 3", ())
        until_ns = tx.now_ns + int(INSPECT_AHEAD_S * 1e9)
        rows = tx.db.execute(
            "SELECT id, uid, degraded FROM reservation WHERE state IN (1, 2) AND start_ns < ?", (until_ns,)
        ).fetchall()
        if not rows:
            return
        near = {row["uid"] for row in rows}
        state = _inventory(tx, usable=True)
        present = [b for b in snapshot.bookings(tx.db, tx.now_ns) if b.booking in near]
        kept = booking.plans(present, snapshot.closures(tx.db, tx.now_ns), state)
        lost = {b.booking for b in present if b.booking not in kept}
        for row in rows:
            if bool(row["degraded"]) != (row["uid"] in lost):
                degraded = not row["degraded"]
                tx.db.execute("UPDATE reservation SET degraded = ? WHERE id = ?", (degraded, row["id"]))
                kind = "reservation.degraded" if degraded else "reservation.restored"
                message = "what it needs is out of order or closed" if degraded else "it can be kept whole again"
                events.reservation_changed(tx, row["id"], kind, message)

    return command


def _check_period(start_ns: int, end_ns: int, now_ns: int, bounds: Bounds) -> None:
    length_s = (end_ns - start_ns) / 1e9
    if length_s <= 0:
        raise PalaestraError("BAD_PERIOD", "the reservation ends before it starts")
    if length_s < 1.0:
        raise PalaestraError("BAD_PERIOD", f"the reservation lasts {length_s:g} s, at least 1 s")
    if start_ns < now_ns - LATE_S * 1e9:
        raise PalaestraError("BAD_PERIOD", f"the reservation starts {(now_ns - start_ns) / 1e9:.0f} s in the past")
    if end_ns <= now_ns:
        raise PalaestraError("BAD_PERIOD", "the reservation ends in the past")
    if length_s > bounds.duration_max_s:
        raise PalaestraError(
            "BAD_PERIOD", f"the reservation lasts {length_s:.0f} s, at most {bounds.duration_max_s:.0f} s are allowed"
        )
    if start_ns > now_ns + bounds.horizon_s * 1e9:
        ahead_days, days = (start_ns - now_ns) / 86_400e9, bounds.horizon_s / 86_400
        raise PalaestraError(
            "BAD_PERIOD", f"the reservation starts in {ahead_days:.1f} days, at most {days:g} days ahead are allowed"
        )


def _check_claim(claim: Claim) -> None:
    if not (claim.units or claim.sim_slots or claim.cell or claim.seats or claim.chargers):
        raise _invalid("reservation.claim", "asks for nothing")
    if claim.alternatives:
        raise _invalid("reservation.claim.alternatives", "a reservation holds one claim, without alternatives")
    if any(request.count_max > request.count for request in claim.units):
        raise _invalid("reservation.claim.units", "a reservation holds a fixed number of units")


def _check_room(tx: Transaction, wanted: Booking, bounds: Bounds) -> None:
    """Refuse what the venue could never serve, what is over the vendor's quota, and what is taken or closed then."""
    inventory = _inventory(tx)
    unknown = unknown_selector(wanted.claim, inventory)
    if unknown is not None:
        raise PalaestraError("UNKNOWN_SELECTOR", unknown)
    never = impossible(wanted.claim, inventory)
    if never is not None:
        raise PalaestraError("IMPOSSIBLE_CLAIM", never)
    present = snapshot.bookings(tx.db, tx.now_ns)
    own = [other for other in present if other.vendor == wanted.vendor]
    if len(own) >= bounds.open_max:
        raise PalaestraError("OVER_QUOTA", f"{len(own)} reservations of this vendor are open, the most allowed")
    vendors = {vendor.vendor: vendor for vendor in snapshot.tree(tx.db)}
    for holder in _line(vendors, wanted.vendor):
        below = [other for other in present if holder in _line(vendors, other.vendor)]
        problem = booking.over_limit(wanted, below, holder)
        if problem is not None:
            # Of a group's limit only that it is one: how much its other members hold is theirs to know.
            words = problem if holder.vendor == wanted.vendor else "with it the vendor's group would hold too much then"
            raise PalaestraError("OVER_QUOTA", words)
    days = int((bounds.horizon_s + bounds.duration_max_s) / 86_400) + 1
    # What runs keeps what it has until its planned end; leases of bookings are in these already.
    running = [booking.of_lease(lease) for lease in snapshot.leases(tx.db) if not lease.booking]
    shortage = booking.fits(wanted, [*running, *present], snapshot.closures(tx.db, tx.now_ns, days), inventory)
    if shortage is not None:
        raise PalaestraError("NO_CAPACITY", shortage)


def _line(vendors: dict[str, Vendor], name: str) -> list[Vendor]:
    """Return a vendor, its parent, and so on up to the root."""
    line: list[Vendor] = []
    while name in vendors and vendors[name] not in line:
        line.append(vendors[name])
        name = vendors[name].parent
    return line


def _inventory(tx: Transaction, *, usable: bool = False) -> State:
    """Return what the venue has; with `usable`, without the units that are out of order."""
    found = snapshot.inventory(tx.db, tx.now_ns)
    units = tuple(unit for unit in found.units if unit.usable) if usable else found.units
    return replace(found, units=units, exclusive_zones=snapshot.exclusive_zones(tx.db))


def _close(tx: Transaction, reservation_id: int, state: ReservationState, message: str) -> None:
    tx.db.execute(
        "UPDATE reservation SET state = ?, close_ns = ?, degraded = 0 WHERE id = ?", (state, tx.now_ns, reservation_id)
    )
    events.reservation_changed(tx, reservation_id, f"reservation.{state.name.lower()}", message)
    _cancel_stranded(tx, "j.state = 1 AND r.id = ?", (reservation_id,))
    tx.wants_cycle = True


def _in_use(db: Connection, reservation_id: int) -> bool:
    """Whether a job of the reservation has started, or waits for its claim."""
    found = db.execute(
        """
        SELECT EXISTS (SELECT 1 FROM reservation_job rj JOIN job j ON j.id = rj.job_id
            WHERE rj.reservation_id = ? AND (j.start_ns IS NOT NULL OR j.state IN (1, 2, 3)))
        """,
        (reservation_id,),
    ).fetchone()
    return bool(found[0])


def _cancel_stranded(tx: Transaction, which: str, values: Sequence[object]) -> None:
    """Cancel the jobs that wait for a reservation which is over: nothing would ever start them.

    which: Condition on jobs j and reservations r. That of one reservation is quick; that of all looks at each job that
        waits.
    """
    stranded = tx.db.execute(
        f"""
        SELECT j.id, j.state FROM job j JOIN reservation_job rj ON rj.job_id = j.id
        JOIN reservation r ON r.id = rj.reservation_id WHERE {which}
        """,
        values,
    ).fetchall()
    for job in stranded:
        message = "its reservation was over before it could start"
        failure = ending.failure("RESERVATION_ENDED", message, retryable=False)
        tx.db.execute(
            "UPDATE job SET state = ?, end_ns = ?, failure = ? WHERE id = ?",
            (advance_job(JobState(job["state"]), Step.CANCEL), tx.now_ns, failure.SerializeToString(), job["id"]),
        )
        events.job_changed(tx, job["id"], "job.cancelled", message)
        dependencies.job_ended(tx, job["id"])


def _find(db: Connection, vendor: str, uid: str) -> Row | None:
    row: Row | None = db.execute("SELECT * FROM reservation WHERE uid = ? AND vendor = ?", (uid, vendor)).fetchone()
    return row


def _row(db: Connection, reservation_id: int) -> Row:
    row: Row = db.execute(f"{resources.RESERVATIONS} WHERE r.id = ?", (reservation_id,)).fetchone()
    return row


def _repeat(row: Row, digest: bytes, request_id: str) -> reservation_pb2.Reservation:
    if row["request_sha256"] != digest:
        raise PalaestraError(
            "REQUEST_ID_REUSED",
            f"request id {request_id} was used for another reservation",
            metadata={"request_id": request_id},
        )
    return resources.reservation(row)


def _invalid(field: str, problem: str) -> PalaestraError:
    return PalaestraError("INVALID_FIELD", f"{field}: {problem}", metadata={"field": field, "rule": problem})
