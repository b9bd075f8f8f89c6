"""The levers of operators: `client.operations`, plain and for asyncio.

To cordon a place is to let nothing new begin there; what runs goes on to its end. To drain it is to end what runs there
too, in good order, as if it had been preempted. Both are closures of the calendar, and show there. To quarantine a unit
is to call it bad, for what it is and not for a time. Released, a place is open again, and a unit is checked before its
next job.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from palaestra import bookings, calls, names
from palaestra.errors import PalaestraError
from palaestra.ids import new_request_id
from palaestra.v1.calendar_pb2 import Closure
from palaestra.v1.job_pb2 import Job
from palaestra.v1.venue_pb2 import Unit, UnitHealth
from palaestra.v1.venue_service_pb2 import GetIdentityResponse

CORDON = timedelta(days=365)
"""How long a place stays cordoned, or drained, that nobody releases."""

_OUT = (UnitHealth.UNIT_HEALTH_BAD, UnitHealth.UNIT_HEALTH_MAINTENANCE)


@dataclass(frozen=True)
class Place:
    """What is meant: units, cells or zones by name; or the whole venue, which must be said.

    Raises INVALID_FIELD if nothing is named, as by a list that came out empty, or the whole venue and a part of it.
    """

    units: Sequence[str] = ()
    cells: Sequence[str] = ()
    zones: Sequence[str] = ()
    venue: bool = False

    def __post_init__(self) -> None:
        if self.venue == bool(self.units or self.cells or self.zones):
            problem = "a place is units, cells or zones by name, or venue=True for all of it"
            raise PalaestraError("INVALID_FIELD", problem)

    def closure(self, identity: GetIdentityResponse, reason: str, end: datetime | None, *, drain: bool) -> Closure:
        """Return the closure of the place from now on."""
        end = end or datetime.now(UTC) + CORDON
        spec = bookings.closure(
            end, units=self.units, cells=self.cells, zones=self.zones, stop_running=drain, display_name=reason
        )  # fmt: skip
        return names.complete_closure(spec, identity)

    def closures_among(self, identity: GetIdentityResponse, closures: Iterable[Closure]) -> list[str]:
        """Return the names of those that operators made for exactly this place, that have begun, and that are no rule.

        One that was made from then on has begun by the venue's clock, whatever ours says.
        """
        wanted = self.closure(identity, "", None, drain=False)
        now_ns = time.time_ns()
        return [
            found.name
            for found in closures
            if not found.configured
            and not found.rrule
            and found.start_time.ToNanoseconds() <= max(now_ns, found.create_time.ToNanoseconds())
            and all(set(getattr(found, kind)) == set(getattr(wanted, kind)) for kind in ("units", "cells", "zones"))
        ]


class Operations:
    """Raises PalaestraError as every method of a client."""

    def __init__(
        self,
        send: Callable[..., Any],
        pages: Callable[..., Iterator[Any]],
        identity: Callable[[], GetIdentityResponse],
    ) -> None:
        self._send = send
        self._pages = pages
        self._identity = identity

    def stop_cell(self, cell: str, *, reason: str = "") -> list[str]:
        """Ask all units of a cell for a protective stop; return their names. Not a safety-rated emergency stop."""
        name = names.cell(cell, self._identity()) if names.is_short(cell) else cell
        return list(self._send(calls.stop_cell(name, reason)).units)

    def stop_venue(self, *, reason: str = "") -> list[str]:
        """Ask all units of the venue for a protective stop; return their names. Not a safety-rated emergency stop."""
        return list(self._send(calls.stop_venue(reason)).units)

    def reorder(self, job: str, priority: int, *, reason: str, etag: str = "") -> Job:
        """Give a job another priority among its vendor's, and say why. For operators, and for vendors' own jobs."""
        name = names.job(job, self._identity()) if names.is_short(job) else job
        found: Job = self._send(calls.reorder_job(name, priority, reason, etag))
        return found

    def cordon(self, place: Place, *, reason: str, end: datetime | None = None, drain: bool = False) -> Closure:
        """Let nothing new begin at a place, until `end` or until it is released. drain: end what runs there, too."""
        spec = place.closure(self._identity(), reason, end, drain=drain)
        found: Closure = self._send(calls.create_closure(spec, new_request_id(), validate_only=False))
        return found

    def quarantine(self, unit: str, *, reason: str) -> Unit:
        """Give a unit up as bad. What runs on it goes on to its end; stop it first if it must not."""
        name = names.unit(unit, self._identity()) if names.is_short(unit) else unit
        call = calls.set_unit_health(name, UnitHealth.UNIT_HEALTH_BAD, reason, "", new_request_id())
        found: Unit = self._send(call)
        return found

    def release(self, place: Place, *, reason: str = "") -> list[str]:
        """Open a place that was cordoned or drained, and bring back its units that are out; return what changed."""
        identity = self._identity()
        changed = place.closures_among(identity, self._pages(calls.closures()))
        for closure in changed:
            self._send(calls.delete_closure(closure))
        for unit in place.units:
            name = names.unit(unit, identity) if names.is_short(unit) else unit
            if self._send(calls.unit(name)).health in _OUT:
                self._send(calls.set_unit_health(name, UnitHealth.UNIT_HEALTH_SUSPECT, reason, "", new_request_id()))
                changed.append(name)
        return changed


class AsyncOperations:
    """The same, awaited."""

    def __init__(
        self,
        send: Callable[..., Awaitable[Any]],
        pages: Callable[..., AsyncIterator[Any]],
        identity: Callable[[], Awaitable[GetIdentityResponse]],
    ) -> None:
        self._send = send
        self._pages = pages
        self._identity = identity

    async def stop_cell(self, cell: str, *, reason: str = "") -> list[str]:
        """Ask all units of a cell for a protective stop; return their names."""
        name = names.cell(cell, await self._identity()) if names.is_short(cell) else cell
        return list((await self._send(calls.stop_cell(name, reason))).units)

    async def stop_venue(self, *, reason: str = "") -> list[str]:
        """Ask all units of the venue for a protective stop; return their names."""
        return list((await self._send(calls.stop_venue(reason))).units)

    async def reorder(self, job: str, priority: int, *, reason: str, etag: str = "") -> Job:
        """Give a job another priority among its vendor's, and say why."""
        name = names.job(job, await self._identity()) if names.is_short(job) else job
        found: Job = await self._send(calls.reorder_job(name, priority, reason, etag))
        return found

    async def cordon(self, place: Place, *, reason: str, end: datetime | None = None, drain: bool = False) -> Closure:
        """Let nothing new begin at a place, until `end` or until it is released."""
        spec = place.closure(await self._identity(), reason, end, drain=drain)
        found: Closure = await self._send(calls.create_closure(spec, new_request_id(), validate_only=False))
        return found

    async def quarantine(self, unit: str, *, reason: str) -> Unit:
        """Give a unit up as bad."""
        name = names.unit(unit, await self._identity()) if names.is_short(unit) else unit
        call = calls.set_unit_health(name, UnitHealth.UNIT_HEALTH_BAD, reason, "", new_request_id())
        found: Unit = await self._send(call)
        return found

    async def release(self, place: Place, *, reason: str = "") -> list[str]:
        """Open a place that was cordoned or drained, and bring back its units that are out; return what changed."""
        identity = await self._identity()
        changed = place.closures_among(identity, [closure async for closure in self._pages(calls.closures())])
        for closure in changed:
            await self._send(calls.delete_closure(closure))
        for unit in place.units:
            name = names.unit(unit, identity) if names.is_short(unit) else unit
            if (await self._send(calls.unit(name))).health in _OUT:
                call = calls.set_unit_health(name, UnitHealth.UNIT_HEALTH_SUSPECT, reason, "", new_request_id())
                await self._send(call)
                changed.append(name)
        return changed
