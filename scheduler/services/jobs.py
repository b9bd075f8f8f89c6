"""JobService: vendors submit and follow jobs."""

from collections.abc import AsyncIterator
from typing import Any

from palaestra.errors import PalaestraError
from palaestra.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc
from scheduler import answers, masks, names, reading, resources, snapshot, waiting
from scheduler.commands import ending, opening, reordering, submitting
from scheduler.core import Core
from scheduler.encoding import Serialized
from scheduler.forecast import Forecast
from scheduler.foresight import Find
from scheduler.guard import caller
from scheduler.lifecycle import JobState
from scheduler.recognition import KnownBatch, KnownJob, Shapes
from scheduler.sql import Connection
from scheduler.state import Job, State

LOG_BLOCK = 500
WATCH_POLL_S = 5.0


class JobService(job_service_pb2_grpc.JobServiceServicer):
    """What a vendor does with its jobs.

    Args:
        shapes: Takes what requests are like, so that others like them are known again.
    """

    def __init__(self, core: Core, shapes: Shapes | None = None) -> None:
        self._core = core
        self._shapes = shapes or Shapes()

    async def SubmitJob(self, request: job_service_pb2.SubmitJobRequest | KnownJob, context: Any) -> job_pb2.Job:
        core, vendor = self._core, self._own_vendor(request.parent)
        draft = request.draft if isinstance(request, KnownJob) else self._shapes.drafts([request])[0]
        reading.project_scope(caller(), draft.form.project)
        return await core.run(submitting.submit(vendor, draft, core.catalogue, core.limits))

    async def BatchSubmitJobs(
        self, request: job_service_pb2.BatchSubmitJobsRequest | KnownBatch, context: Any
    ) -> Serialized:
        core, vendor, who = self._core, self._own_vendor(request.parent), caller()
        if isinstance(request, KnownBatch):
            drafts = request.requests
        else:
            for item in request.requests:
                if item.parent not in ("", request.parent):
                    raise PalaestraError("NOT_FOUND", f"{item.parent} not found")
            drafts = self._shapes.drafts(request.requests)
        if who.projects:
            for draft in drafts:
                reading.project_scope(who, draft.form.project)
        command = submitting.submit_batch(vendor, drafts, core.catalogue, core.limits, atomic=request.atomic)
        return await core.run(command)

    async def GetJob(self, request: job_service_pb2.GetJobRequest, context: Any) -> job_pb2.Job:
        masks.check(request.read_mask, job_pb2.Job)
        return masks.masked(self._job(request.name), request.read_mask)

    async def ListJobs(
        self, request: job_service_pb2.ListJobsRequest, context: Any
    ) -> job_service_pb2.ListJobsResponse:
        core = self._core
        masks.check(request.read_mask, job_pb2.Job)
        vendor = reading.vendor_scope(core.read, caller(), request.parent)
        states = sorted(set(request.states))
        scope = ("jobs", request.parent, caller().vendor, request.array, *map(str, states))
        page = core.pager.page(request.page_token, request.page_size, scope)
        where: list[tuple[str, object]] = []
        if states:
            where.append((f"j.state IN ({','.join(str(int(state)) for state in states)}) AND ? = 1", 1))
        if request.array:
            array = reading.find(core.read, "job_array", caller(), request.array)
            where.append(("j.array_uid = ?", array["uid"]))
        rows = reading.page(core.read, "SELECT j.* FROM job j", "job", caller(), vendor, page, where)
        shown = rows[: page.size]
        token = core.pager.token(shown[-1]["id"], scope) if len(rows) > page.size else ""
        jobs = [masks.masked(resources.job(core.read, row), request.read_mask) for row in shown]
        return job_service_pb2.ListJobsResponse(jobs=jobs, next_page_token=token)

    async def CancelJob(self, request: job_service_pb2.CancelJobRequest, context: Any) -> job_pb2.Job:
        self._job(request.name)
        vendor, uid = names.parts(request.name)
        await self._core.run(ending.cancel(vendor, uid, request.etag))
        return self._job(request.name)

    async def OpenSlot(self, request: job_service_pb2.OpenSlotRequest, context: Any) -> job_service_pb2.SlotTicket:
        self._job(request.name)
        vendor, uid = names.parts(request.name)
        return await self._core.run(opening.ticket(vendor, uid, self._core.lease_token))

    async def ReorderJob(self, request: job_service_pb2.ReorderJobRequest, context: Any) -> job_pb2.Job:
        self._job(request.name)
        await self._core.run(reordering.reorder(request))
        return self._job(request.name)

    async def ExplainJob(
        self, request: job_service_pb2.ExplainJobRequest, context: Any
    ) -> job_service_pb2.ExplainJobResponse:
        core = self._core
        row = reading.find(core.read, "job", caller(), request.name)
        response = job_service_pb2.ExplainJobResponse(state=row["state"])
        told = None
        if row["state"] == JobState.QUEUED:
            # What keeps it from being looked at at all comes first; then nobody knows its start.
            held = waiting.reasons(core.read, row)
            try:
                told = await self._look(lambda db, state: _still_waiting(db, row["id"]), ahead=not held)
            except _Gone:
                row = reading.find(core.read, "job", caller(), request.name)
                response.state = row["state"]
        if told is None:
            response.summary = _summary(resources.job(core.read, row))
            return response
        explanation = told.explanation
        response.summary = held[0].message if held else explanation.summary
        response.jobs_ahead = explanation.jobs_ahead
        response.reasons.extend(answers.reasons((*held, *explanation.reasons)))
        now_ns = core.clock.now_ns()
        if row["not_before_ns"] > now_ns:
            wait_s = (row["not_before_ns"] - now_ns) / 1e9
            message = f"tried before; waits {wait_s:.1f} s before the next try"
            response.reasons.add(constraint="BACK_OFF", message=message)
        start = None if held else answers.start(core.venue, told, core.calibration(), row["not_before_ns"])
        if start is not None:
            response.start.CopyFrom(start)
        return response

    async def WhatIf(self, request: job_service_pb2.WhatIfRequest, context: Any) -> job_service_pb2.WhatIfResponse:
        core, vendor = self._core, self._own_vendor(request.parent)
        reading.project_scope(caller(), request.job.project)
        spec, leaf, held = await core.run(submitting.check(vendor, request.job, core.catalogue, core.limits))

        def submitted(db: Connection, state: State) -> Job:
            number = db.execute("SELECT coalesce(max(id), 0) + 1 FROM job").fetchone()[0]
            return snapshot.job_as_if(number, leaf, vendor, spec, state.now_ns)

        found = waiting.reasons_of(core.read, [each.job for each in held.before], len(spec.after), held.works)
        if found:
            explanation = await core.foresight.explain(submitted)
            return job_service_pb2.WhatIfResponse(
                summary=found[0].message,
                jobs_ahead=explanation.jobs_ahead,
                reasons=answers.reasons((*found, *explanation.reasons)),
            )
        told = await core.foresight.forecast(vendor, submitted)
        return job_service_pb2.WhatIfResponse(
            starts_now=told.expectation is not None and told.expectation.starts_now,
            summary=told.explanation.summary,
            jobs_ahead=told.explanation.jobs_ahead,
            reasons=answers.reasons(told.explanation.reasons),
            start=answers.start(core.venue, told, core.calibration()),
        )

    async def WatchJob(self, request: job_service_pb2.WatchJobRequest, context: Any) -> AsyncIterator[job_pb2.Job]:
        sent = -1
        while True:
            seen = self._core.hub.sequence
            job = self._job(request.name)
            if job.sequence != sent:
                sent = job.sequence
                yield job
            if JobState(job.state).ended:
                return
            await self._core.hub.after(seen, WATCH_POLL_S)

    async def ReadLog(
        self, request: job_service_pb2.ReadLogRequest, context: Any
    ) -> AsyncIterator[job_service_pb2.ReadLogResponse]:
        row = reading.find(self._core.read, "job", caller(), request.name)
        line = max(request.from_line, 1)
        while True:
            ended = JobState(reading.find(self._core.read, "job", caller(), request.name)["state"]).ended
            rows = self._core.read.execute(
                "SELECT * FROM log WHERE job_id = ? AND line >= ? ORDER BY line LIMIT ?", (row["id"], line, LOG_BLOCK)
            ).fetchall()
            if rows:
                line = rows[-1]["line"] + 1
                yield job_service_pb2.ReadLogResponse(
                    lines=[
                        job_service_pb2.LogLine(
                            line=r["line"], time=resources.timestamp(r["time_ns"]), attempt=r["attempt"], text=r["text"]
                        )
                        for r in rows
                    ]
                )
            elif ended or not request.follow:
                return
            else:
                # Lines make no events, so this polls; once a second is enough to read along.
                await self._core.hub.after(self._core.hub.sequence, 0.5)

    def _own_vendor(self, parent: str) -> str:
        who = caller()
        # Who acts for a vendor is let in for one that the venue has: for that, the database need not be asked.
        if who.vendor and parent == names.vendor(who.vendor):
            return who.vendor
        vendor = reading.vendor_scope(self._core.read, who, parent)
        assert who.role.acts_for_vendor
        assert vendor is not None
        return vendor

    async def _look(self, find: Find, *, ahead: bool) -> Forecast:
        """Return why a job waits and, if asked for and there is a place to look ahead, when it starts."""
        foresight, who = self._core.foresight, caller()
        if ahead:
            try:
                return await foresight.forecast(who.vendor or who.role.value, find)
            except PalaestraError as error:
                if error.reason != "FORECAST_BUSY":
                    raise
        return Forecast(await foresight.explain(find))

    def _job(self, name: str) -> job_pb2.Job:
        row = reading.find(self._core.read, "job", caller(), name)
        return resources.job(self._core.read, row)


class _Gone(Exception):
    """The job no longer waits."""


def _still_waiting(db: Connection, job_id: int) -> Job:
    """Return a waiting job. Raises _Gone."""
    row = db.execute("SELECT * FROM job WHERE id = ? AND state = ?", (job_id, JobState.QUEUED)).fetchone()
    if row is None:
        raise _Gone
    return snapshot.job_of(row)


def _summary(job: job_pb2.Job) -> str:
    """Say in a sentence where a job that does not wait stands."""
    if job.failure.message:
        return f"{JobState(job.state).name.lower()}: {job.failure.message}"
    held = ", ".join(job.attempts[0].resources) if job.attempts else ""
    return f"{JobState(job.state).name.lower()}" + (f" with {held}" if held else "")
