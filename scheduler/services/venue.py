"""VenueService: what the venue has and does; and the operators' few levers."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from palaestra.errors import PalaestraError
from palaestra.v1 import host_service_pb2, venue_pb2, venue_service_pb2, venue_service_pb2_grpc
from scheduler import books, names, reading, resources, snapshot, tree
from scheduler.account import dominant_share
from scheduler.commands import fleet, stopping
from scheduler.core import Core
from scheduler.encoding import Serialized
from scheduler.guard import caller
from scheduler.health import VENUE_VENDOR
from scheduler.identity import Identity
from scheduler.sql import Row
from scheduler.state import State

EVENT_BLOCK = 200
# An event holds a whole job; blocks stay far below what a client with default options takes in one message.
EVENT_BLOCK_BYTES = 1024 * 1024
BOOKMARK_PERIOD_S = 5.0


class VenueService(venue_service_pb2_grpc.VenueServiceServicer):
    def __init__(self, core: Core) -> None:
        self._core = core

    async def GetVenue(self, request: venue_service_pb2.GetVenueRequest, context: Any) -> venue_pb2.Venue:
        core = self._core
        reading.venue_scope(core.venue, request.name)
        row = core.read.execute(
            """
            SELECT *, (SELECT count(*) FROM unit) AS units, (SELECT count(*) FROM cell) AS cells,
              (SELECT count(*) FROM sim_slot) AS slots FROM venue
            """
        ).fetchone()
        known = core.catalogue
        return venue_pb2.Venue(
            name=f"venues/{row['id']}",
            display_name=row["display_name"],
            width_m=row["width_m"],
            depth_m=row["depth_m"],
            unit_count=row["units"],
            cell_count=row["cells"],
            sim_slot_count=row["slots"],
            runner_count=len(core.runners),
            tasks=sorted(known.tasks),
            motions=sorted(known.motions),
            robot_models=sorted(known.robot_models),
            scenarios=sorted(known.scenarios),
            sequence=core.hub.sequence,
        )

    async def GetIdentity(
        self, request: venue_service_pb2.GetIdentityRequest, context: Any
    ) -> venue_service_pb2.GetIdentityResponse:
        identity = caller()
        return venue_service_pb2.GetIdentityResponse(
            role=identity.role.value,
            vendor=names.vendor(identity.vendor) if identity.vendor else "",
            venue=f"venues/{self._core.venue}",
            credential=identity.credential,
            methods=sorted(identity.methods),
            projects=sorted(identity.projects),
            expire_time=resources.timestamp(identity.expire_ns),
        )

    async def ListUnits(
        self, request: venue_service_pb2.ListUnitsRequest, context: Any
    ) -> venue_service_pb2.ListUnitsResponse:
        rows, token = self._inventory("units", resources.UNITS, "u", request)
        units = [resources.unit(self._core.venue, row, self._core.seen_ns.get(row["id"])) for row in rows]
        resources.redacted(units, caller())
        return venue_service_pb2.ListUnitsResponse(units=units, next_page_token=token)

    async def GetUnit(self, request: venue_service_pb2.GetUnitRequest, context: Any) -> venue_pb2.Unit:
        return self._unit(request.name)

    async def ListCells(
        self, request: venue_service_pb2.ListCellsRequest, context: Any
    ) -> venue_service_pb2.ListCellsResponse:
        rows, token = self._inventory("cells", resources.CELLS, "c", request)
        cells = [resources.cell(self._core.venue, row) for row in rows]
        resources.redacted(cells, caller())
        return venue_service_pb2.ListCellsResponse(cells=cells, next_page_token=token)

    async def ListSimSlots(
        self, request: venue_service_pb2.ListSimSlotsRequest, context: Any
    ) -> venue_service_pb2.ListSimSlotsResponse:
        rows, token = self._inventory("slots", resources.SLOTS, "s", request)
        slots = [resources.slot(self._core.venue, row) for row in rows]
        resources.redacted(slots, caller())
        return venue_service_pb2.ListSimSlotsResponse(sim_slots=slots, next_page_token=token)

    async def ListLeases(
        self, request: venue_service_pb2.ListLeasesRequest, context: Any
    ) -> venue_service_pb2.ListLeasesResponse:
        core = self._core
        vendor = reading.vendor_scope(core.read, caller(), request.parent)
        scope = ("leases", request.parent, caller().vendor, str(request.show_ended))
        page = core.pager.page(request.page_token, request.page_size, scope)
        where: list[tuple[str, object]] = [] if request.show_ended else [("l.state IN (1, 2, 3, 5) AND ? = 1", 1)]
        rows = reading.page(core.read, resources.LEASES, "lease", caller(), vendor, page, where)
        shown = rows[: page.size]
        token = core.pager.token(shown[-1]["id"], scope) if len(rows) > page.size else ""
        leases = [resources.lease(core.read, row) for row in shown]
        return venue_service_pb2.ListLeasesResponse(leases=leases, next_page_token=token)

    async def GetLease(self, request: venue_service_pb2.GetLeaseRequest, context: Any) -> venue_pb2.Lease:
        row = reading.find(self._core.read, "lease", caller(), request.name, resources.LEASES)
        return resources.lease(self._core.read, row)

    async def ListUsage(
        self, request: venue_service_pb2.ListUsageRequest, context: Any
    ) -> venue_service_pb2.ListUsageResponse:
        core = self._core
        vendor = reading.vendor_scope(core.read, caller(), request.parent)
        reading.whole_vendor_scope(caller())
        usages = self._usage()
        now_ns = core.clock.now_ns()
        months = books.month(core.read, request.month or books.month_of(now_ns), now_ns, vendor)
        if vendor is not None:
            # No total for a vendor: what it did not use itself would be its rivals' business.
            own = [usage for usage in usages if usage.vendor == names.vendor(vendor)]
            return venue_service_pb2.ListUsageResponse(usage=own, months=months)
        total = venue_service_pb2.VendorUsage()
        for usage in usages:
            for field in ("unit_s", "sim_slot_s", "cell_s", "episodes", "jobs"):
                setattr(total, field, getattr(total, field) + getattr(usage, field))
        return venue_service_pb2.ListUsageResponse(usage=usages, total=total, months=months)

    async def WatchEvents(
        self, request: venue_service_pb2.WatchEventsRequest, context: Any
    ) -> AsyncIterator[Serialized]:
        """Answer in bytes of WatchEventsResponse, which all watchers share."""
        core, reader = self._core, caller()
        sequence, loop = request.after_sequence, asyncio.get_running_loop()
        sent_s: float | None = None
        over = False
        while True:
            upto = core.hub.sequence
            # Who comes is told what is kept; who has been told so far goes on with what all read together.
            rows = core.tail.after(sequence, EVENT_BLOCK) if sent_s is not None else None
            if rows is None:
                rows = self._events_after(sequence, upto, reader)
            block = _fitting([row for row in rows if row["seq"] <= upto])
            full = len(rows) == EVENT_BLOCK or len(block) < len(rows)
            sequence = block[-1]["seq"] if full and block else upto
            mine = [row for row in block if _is_of(row, reader) and reading.sees_event(core.read, reader, row)]
            # Who may see nothing of what is new is not woken for it, but told now and then how far it has got.
            if mine or over or sent_s is None or loop.time() - sent_s >= BOOKMARK_PERIOD_S:
                sent_s = loop.time()
                rest = venue_service_pb2.WatchEventsResponse(
                    sequence=sequence, time=resources.timestamp(core.clock.now_ns())
                )
                yield Serialized(b"".join([*(core.tail.entry(row, reader) for row in mine), rest.SerializeToString()]))
            if full:
                # Who may see little of much that he is behind by must not keep everybody else from the loop.
                await asyncio.sleep(0)
                over = False
            else:
                # A wait that is over tells so itself: by rounding, its end may seem to lie ahead still.
                over = not await core.hub.after(sequence, max(0.0, BOOKMARK_PERIOD_S - (loop.time() - sent_s)))

    def _events_after(self, sequence: int, upto: int, reader: Identity) -> list[Row]:
        """Return a block of events for one who is behind. Raises EVENTS_TOO_OLD."""
        core = self._core
        # Looked at each time: a slow reader may be overtaken on the way, and must not miss events unknowingly.
        oldest = core.house.execute("SELECT coalesce(min(seq), 1) FROM event").fetchone()[0]
        if sequence + 1 < oldest or sequence > upto:
            raise PalaestraError(
                "EVENTS_TOO_OLD", f"events after {sequence} cannot be given; kept are {oldest} to {upto}"
            )
        mine = "1 = 1" if reader.role.sees_everybody else "(vendor IS NULL OR vendor = :vendor)"
        return core.read.execute(
            f"SELECT * FROM event WHERE seq > :after AND seq <= :upto AND {mine} ORDER BY seq LIMIT :block",
            {"after": sequence, "upto": upto, "vendor": reader.vendor, "block": EVENT_BLOCK},
        ).fetchall()

    async def InjectUnitFault(self, request: venue_service_pb2.InjectUnitFaultRequest, context: Any) -> venue_pb2.Unit:
        if request.kind not in venue_service_pb2.FaultKind.values():
            problem = f"is {request.kind}, no kind of fault"
            raise PalaestraError("INVALID_FIELD", f"kind: {problem}", metadata={"field": "kind", "rule": problem})
        action = host_service_pb2.InjectFault(kind=request.kind, joint=request.joint)
        order = host_service_pb2.UnitOrder(inject_fault=action)
        return await self._order(request.name, order, etag=request.etag, emulated_only=True)

    async def ResetUnit(self, request: venue_service_pb2.ResetUnitRequest, context: Any) -> venue_pb2.Unit:
        order = host_service_pb2.UnitOrder(reset_fault=host_service_pb2.ResetFault())
        return await self._order(request.name, order, etag=request.etag)

    async def StopUnit(self, request: venue_service_pb2.StopUnitRequest, context: Any) -> venue_pb2.Unit:
        self._unit(request.name)
        await self._core.run(stopping.stop_unit(names.parts(request.name)[1], request.reason), urgent=True)
        return self._unit(request.name)

    async def _order(
        self, name: str, order: host_service_pb2.UnitOrder, *, etag: str = "", emulated_only: bool = False
    ) -> venue_pb2.Unit:
        self._unit(name)
        await self._core.run(fleet.order(names.parts(name)[1], order, etag, emulated_only=emulated_only))
        return self._unit(name)

    def _unit(self, name: str) -> venue_pb2.Unit:
        return unit_of(self._core, name)

    def _inventory(
        self,
        what: str,
        query: str,
        alias: str,
        request: venue_service_pb2.ListUnitsRequest
        | venue_service_pb2.ListCellsRequest
        | venue_service_pb2.ListSimSlotsRequest,
    ) -> tuple[list[Any], str]:
        """Return one page of an inventory table in order of id, and the token of the next page."""
        core = self._core
        reading.venue_scope(core.venue, request.parent)
        scope = (what, request.parent, caller().vendor)
        page = core.pager.page(request.page_token, request.page_size, scope)
        rows = core.house.execute(
            f"{query} WHERE {alias}.id > ? ORDER BY {alias}.id LIMIT ?", (page.after or "", page.size + 1)
        ).fetchall()
        shown = rows[: page.size]
        token = core.pager.token(shown[-1]["id"], scope) if len(rows) > page.size else ""
        return shown, token

    def _usage(self) -> list[venue_service_pb2.VendorUsage]:
        db, now_ns = self._core.house, self._core.clock.now_ns()
        state = State(now_ns, snapshot.units(db), snapshot.slots(db), snapshot.cells(db), snapshot.vendors(db, now_ns))
        totals = (len(state.units), len(state.slots), len(state.cells))
        usages = []
        for (vendor,) in db.execute("SELECT id FROM vendor WHERE id != ? ORDER BY id", (VENUE_VENDOR,)).fetchall():
            row = db.execute(
                """
                SELECT coalesce(u.unit_ms, 0) AS unit_ms, coalesce(u.slot_ms, 0) AS slot_ms,
                  coalesce(u.cell_ms, 0) AS cell_ms,
                  (SELECT count(*) FROM episode WHERE vendor = :v) AS episodes,
                  (SELECT count(*) FROM job WHERE vendor = :v) AS jobs
                FROM vendor LEFT JOIN usage u ON u.vendor = vendor.id WHERE vendor.id = :v
                """,
                {"v": vendor},
            ).fetchone()
            running = [self._running_s(vendor, table, now_ns) for table in ("unit", "slot", "cell")]
            parts = [party for party in state.vendors if tree.vendor_of(party.vendor) == vendor]
            units, slots, cells = (sum(getattr(part, f"held_{field}") for part in parts) for field in tree.FIELDS)
            usages.append(
                venue_service_pb2.VendorUsage(
                    vendor=names.vendor(vendor),
                    unit_s=row["unit_ms"] / 1000 + running[0],
                    sim_slot_s=row["slot_ms"] / 1000 + running[1],
                    cell_s=row["cell_ms"] / 1000 + running[2],
                    episodes=row["episodes"],
                    jobs=row["jobs"],
                    dominant_share=dominant_share(units, slots, cells, totals),
                )
            )
        return usages

    def _running_s(self, vendor: str, table: str, now_ns: int) -> float:
        """Return what the vendor's open leases have used so far of one kind of thing."""
        (used_ns,) = self._core.house.execute(
            f"""
            SELECT coalesce(sum(coalesce(x.free_ns, ?) - x.grant_ns), 0) FROM lease_{table} x
            JOIN lease l ON l.id = x.lease_id WHERE l.vendor = ? AND l.end_ns IS NULL
            """,
            (now_ns, vendor),
        ).fetchone()
        return float(used_ns) / 1e9


def unit_of(core: Core, name: str) -> venue_pb2.Unit:
    """Return a unit as the caller may see it. Raises NOT_FOUND."""
    owner, unit = names.parts(name)
    row = core.house.execute(f"{resources.UNITS} WHERE u.id = ?", (unit,)).fetchone()
    if row is None or owner != core.venue:
        raise PalaestraError("NOT_FOUND", f"{name} not found")
    message = resources.unit(core.venue, row, core.seen_ns.get(unit))
    resources.redact(message, caller())
    return message


def _fitting(rows: list[Row]) -> list[Row]:
    """Return the first rows whose bodies fit into one block, at least one."""
    size = 0
    for count, row in enumerate(rows):
        size += len(row["body"])
        if size > EVENT_BLOCK_BYTES and count:
            return rows[:count]
    return rows


def _is_of(row: Row, reader: Identity) -> bool:
    """Whether an event is everybody's or of the reader's vendor."""
    return reader.role.sees_everybody or row["vendor"] is None or row["vendor"] == reader.vendor
