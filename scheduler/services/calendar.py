"""CalendarService: when the venue and its parts are closed."""

from datetime import datetime
from typing import Any, TypeVar

from palaestra.errors import PalaestraError
from palaestra.v1 import calendar_pb2, calendar_service_pb2, calendar_service_pb2_grpc
from scheduler import calendar, names, reading, resources, snapshot
from scheduler.calendar import Scope, Window
from scheduler.commands import timetable
from scheduler.core import Core
from scheduler.guard import caller
from scheduler.snapshot.closures import HORIZON_DAYS, recurring, scope_of, time_zone
from scheduler.state import Closure

CLOSED_TIMES_MAX = 5_000
# Names of the venue file's closures, beside those that operators made: "file-" and a number, which no id looks like.
CONFIGURED = "file-"

Placed = TypeVar("Placed", calendar_pb2.Closure, calendar_pb2.ClosedTime)


class CalendarService(calendar_service_pb2_grpc.CalendarServiceServicer):
    def __init__(self, core: Core) -> None:
        self._core = core

    async def CreateClosure(
        self, request: calendar_service_pb2.CreateClosureRequest, context: Any
    ) -> calendar_pb2.Closure:
        core = self._core
        reading.venue_scope(core.venue, request.parent)
        self._check_rule(request.closure)
        return await core.run(timetable.close(request, core.venue))

    async def ListClosures(
        self, request: calendar_service_pb2.ListClosuresRequest, context: Any
    ) -> calendar_service_pb2.ListClosuresResponse:
        core = self._core
        reading.venue_scope(core.venue, request.parent)
        scope = ("closures", request.parent, caller().vendor)
        page = core.pager.page(request.page_token, request.page_size, scope)
        after = int(page.after) if page.after is not None else None
        rows = core.read.execute(
            """
            SELECT * FROM closure WHERE (rrule != '' OR end_ns > ?) AND (? IS NULL OR id < ?) ORDER BY id DESC LIMIT ?
            """,
            (core.clock.now_ns(), after, after, page.size + 1),
        ).fetchall()
        shown = rows[: page.size]
        found = [resources.closure(core.venue, row) for row in shown]
        token = core.pager.token(shown[-1]["id"], scope) if len(rows) > page.size else ""
        if not token:
            found += self._configured()
        return calendar_service_pb2.ListClosuresResponse(closures=found, next_page_token=token)

    async def DeleteClosure(
        self, request: calendar_service_pb2.DeleteClosureRequest, context: Any
    ) -> calendar_service_pb2.DeleteClosureResponse:
        venue, uid = names.parts(request.name)
        if venue != self._core.venue:
            raise PalaestraError("NOT_FOUND", f"{request.name} not found")
        if any(closure.name == request.name for closure in self._configured()):
            raise PalaestraError("CONFIGURED", f"{request.name} stands in the venue file")
        await self._core.run(timetable.reopen(uid))
        return calendar_service_pb2.DeleteClosureResponse()

    async def ListClosedTimes(
        self, request: calendar_service_pb2.ListClosedTimesRequest, context: Any
    ) -> calendar_service_pb2.ListClosedTimesResponse:
        core = self._core
        reading.venue_scope(core.venue, request.parent)
        found = snapshot.closures(core.read, core.clock.now_ns(), request.days or HORIZON_DAYS)
        return calendar_service_pb2.ListClosedTimesResponse(
            closed_times=[self._closed(closure) for closure in found[:CLOSED_TIMES_MAX]],
            time_zone=time_zone(core.read).key,
        )

    def _check_rule(self, closure: calendar_pb2.Closure) -> None:
        """Refuse a bad rule here: finding out that one never occurs takes too long for the writer's thread."""
        if not closure.rrule:
            return
        start_ns = closure.start_time.ToNanoseconds() if closure.HasField("start_time") else self._core.clock.now_ns()
        zone = time_zone(self._core.read)
        try:
            calendar.check(recurring(start_ns, closure.end_time.ToNanoseconds(), closure.rrule, "{}", zone), zone)
        except calendar.BadCalendar as error:
            raise PalaestraError("BAD_CALENDAR", str(error)) from None

    def _configured(self) -> list[calendar_pb2.Closure]:
        """Return the closures of the venue file."""
        zone = time_zone(self._core.read)
        rows = self._core.read.execute("SELECT * FROM calendar_window WHERE opens = 0 ORDER BY id").fetchall()
        found = []
        for number, row in enumerate(rows, 1):
            window = Window(
                row["name"],
                datetime.fromisoformat(row["starts"]),
                datetime.fromisoformat(row["ends"]),
                scope=scope_of(row["scope"]),
            )
            start_ns, end_ns = calendar.instants(window, zone)
            message = self._placed(calendar_pb2.Closure(), window.scope)
            message.name = names.closure(self._core.venue, f"{CONFIGURED}{number}")
            message.display_name, message.rrule = row["name"], row["rrule"]
            message.start_time.FromNanoseconds(start_ns)
            message.end_time.FromNanoseconds(end_ns)
            message.stop_running, message.configured = bool(row["stop_running"]), True
            found.append(message)
        return found

    def _closed(self, closure: Closure) -> calendar_pb2.ClosedTime:
        message = calendar_pb2.ClosedTime(stop_running=closure.stop_running)
        message.start_time.FromNanoseconds(closure.start_ns)
        message.end_time.FromNanoseconds(closure.end_ns)
        return self._placed(message, Scope(closure.units, closure.cells, closure.zones))

    def _placed(self, message: Placed, scope: Scope) -> Placed:
        """Write the places of a scope into a closure or a closed time, and return it."""
        message.units.extend(names.unit(self._core.venue, name) for name in sorted(scope.units))
        message.cells.extend(names.cell(self._core.venue, name) for name in sorted(scope.cells))
        message.zones.extend(sorted(scope.zones))
        return message
