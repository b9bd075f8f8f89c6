"""JobArrayService: vendors submit and cancel like jobs together."""

from typing import Any

from palaestra.v1 import job_array_pb2, job_array_service_pb2, job_array_service_pb2_grpc
from scheduler import names, reading, resources
from scheduler.commands import arrays
from scheduler.core import Core
from scheduler.guard import caller


class JobArrayService(job_array_service_pb2_grpc.JobArrayServiceServicer):
    def __init__(self, core: Core) -> None:
        self._core = core

    async def SubmitJobArray(
        self, request: job_array_service_pb2.SubmitJobArrayRequest, context: Any
    ) -> job_array_pb2.JobArray:
        core = self._core
        vendor = reading.vendor_scope(core.read, caller(), request.parent)
        assert vendor is not None, "only vendors may call this, and none of them may ask for all"
        reading.project_scope(caller(), request.job.project)
        return await core.run(arrays.submit(vendor, request, core.catalogue, core.limits))

    async def GetJobArray(
        self, request: job_array_service_pb2.GetJobArrayRequest, context: Any
    ) -> job_array_pb2.JobArray:
        return self._array(request.name)

    async def CancelJobArray(
        self, request: job_array_service_pb2.CancelJobArrayRequest, context: Any
    ) -> job_array_pb2.JobArray:
        reading.find(self._core.read, "job_array", caller(), request.name)
        await self._core.run(arrays.cancel(*names.parts(request.name)))
        return self._array(request.name)

    def _array(self, name: str) -> job_array_pb2.JobArray:
        row = reading.find(self._core.read, "job_array", caller(), name)
        return resources.job_array(self._core.read, row)
