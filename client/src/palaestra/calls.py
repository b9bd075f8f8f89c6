"""Every call of the SDK as a value: method, request, type of the answer. The clients only carry them out."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from palaestra.v1.api_key_pb2 import ApiKey
from palaestra.v1.api_key_service_pb2 import (
    ApiKeySecret,
    CreateApiKeyRequest,
    GetApiKeyRequest,
    ListApiKeysRequest,
    ListApiKeysResponse,
    RevokeApiKeyRequest,
    RotateApiKeyRequest,
)
from palaestra.v1.audit_pb2 import AuditEntry, AuditHead
from palaestra.v1.audit_service_pb2 import GetAuditHeadRequest, ListAuditEntriesRequest, ListAuditEntriesResponse
from palaestra.v1.calendar_pb2 import Closure
from palaestra.v1.calendar_service_pb2 import (
    CreateClosureRequest,
    DeleteClosureRequest,
    DeleteClosureResponse,
    ListClosedTimesRequest,
    ListClosedTimesResponse,
    ListClosuresRequest,
    ListClosuresResponse,
)
from palaestra.v1.episode_pb2 import Episode
from palaestra.v1.episode_service_pb2 import GetEpisodeRequest, ListEpisodesRequest, ListEpisodesResponse
from palaestra.v1.estimate_pb2 import EstimateCalibration
from palaestra.v1.estimate_service_pb2 import GetEstimateCalibrationRequest
from palaestra.v1.fleet_service_pb2 import (
    CalibrateUnitRequest,
    SetUnitHealthRequest,
    StopCellRequest,
    StopUnitsResponse,
    StopVenueRequest,
)
from palaestra.v1.job_array_pb2 import JobArray
from palaestra.v1.job_array_service_pb2 import CancelJobArrayRequest, GetJobArrayRequest, SubmitJobArrayRequest
from palaestra.v1.job_pb2 import Job, JobState
from palaestra.v1.job_service_pb2 import (
    BatchSubmitJobsRequest,
    BatchSubmitJobsResponse,
    CancelJobRequest,
    ExplainJobRequest,
    ExplainJobResponse,
    GetJobRequest,
    ListJobsRequest,
    ListJobsResponse,
    OpenSlotRequest,
    ReadLogRequest,
    ReadLogResponse,
    ReorderJobRequest,
    SlotTicket,
    SubmitJobRequest,
    WatchJobRequest,
    WhatIfRequest,
    WhatIfResponse,
)
from palaestra.v1.reservation_pb2 import Reservation
from palaestra.v1.reservation_service_pb2 import (
    CancelReservationRequest,
    CreateReservationRequest,
    GetReservationRequest,
    ListReservationsRequest,
    ListReservationsResponse,
)
from palaestra.v1.venue_pb2 import Cell, Lease, SimSlot, Unit, UnitHealth, Venue
from palaestra.v1.venue_service_pb2 import (
    FaultKind,
    GetIdentityRequest,
    GetIdentityResponse,
    GetLeaseRequest,
    GetUnitRequest,
    GetVenueRequest,
    InjectUnitFaultRequest,
    ListCellsRequest,
    ListCellsResponse,
    ListLeasesRequest,
    ListLeasesResponse,
    ListSimSlotsRequest,
    ListSimSlotsResponse,
    ListUnitsRequest,
    ListUnitsResponse,
    ListUsageRequest,
    ListUsageResponse,
    ResetUnitRequest,
    StopUnitRequest,
    WatchEventsRequest,
    WatchEventsResponse,
)

R = TypeVar("R", bound=Message)
T = TypeVar("T")

BATCH_MAX = 1000
"""Most jobs in one batch, by the contract."""

_THIS_VENUE = "venues/-"
_PAGE_SIZE = 200


@dataclass(frozen=True)
class Call(Generic[R]):
    """One call: a method of the contract, its request, and the type of its answer or answers."""

    method: str
    request: Message
    response: type[R]


@dataclass(frozen=True)
class Listing(Generic[R, T]):
    """A list call and where the items are in its answer."""

    call: Call[R]
    items: Callable[[R], Iterable[T]]

    def after(self, response: R) -> "Listing[R, T] | None":
        """Return the listing of the next page, or None after the last."""
        token = getattr(response, "next_page_token", "")
        if not token:
            return None
        request: Any = type(self.call.request)()
        request.CopyFrom(self.call.request)
        request.page_token = token
        return replace(self, call=replace(self.call, request=request))


def identity() -> Call[GetIdentityResponse]:
    """Who the token is."""
    return _venue("GetIdentity", GetIdentityRequest(), GetIdentityResponse)


def venue() -> Call[Venue]:
    """The venue that the scheduler serves."""
    return _venue("GetVenue", GetVenueRequest(name=_THIS_VENUE), Venue)


def units() -> Listing[ListUnitsResponse, Unit]:
    """All units of the venue."""
    request = ListUnitsRequest(parent=_THIS_VENUE, page_size=_PAGE_SIZE)
    return Listing(_venue("ListUnits", request, ListUnitsResponse), lambda page: page.units)


def unit(name: str) -> Call[Unit]:
    """One unit."""
    return _venue("GetUnit", GetUnitRequest(name=name), Unit)


def cells() -> Listing[ListCellsResponse, Cell]:
    """All cells of the venue."""
    request = ListCellsRequest(parent=_THIS_VENUE, page_size=_PAGE_SIZE)
    return Listing(_venue("ListCells", request, ListCellsResponse), lambda page: page.cells)


def sim_slots() -> Listing[ListSimSlotsResponse, SimSlot]:
    """All sim slots of the venue."""
    request = ListSimSlotsRequest(parent=_THIS_VENUE, page_size=_PAGE_SIZE)
    return Listing(_venue("ListSimSlots", request, ListSimSlotsResponse), lambda page: page.sim_slots)


def leases(parent: str, *, show_ended: bool) -> Listing[ListLeasesResponse, Lease]:
    """Leases of a vendor, or of all."""
    request = ListLeasesRequest(parent=parent, page_size=_PAGE_SIZE, show_ended=show_ended)
    return Listing(_venue("ListLeases", request, ListLeasesResponse), lambda page: page.leases)


def lease(name: str) -> Call[Lease]:
    """One lease."""
    return _venue("GetLease", GetLeaseRequest(name=name), Lease)


def usage(parent: str, month: str) -> Call[ListUsageResponse]:
    """What a vendor, or all, have used."""
    return _venue("ListUsage", ListUsageRequest(parent=parent, month=month), ListUsageResponse)


def watch_events(after_sequence: int) -> Call[WatchEventsResponse]:
    """Everything that changes after a sequence number."""
    return _venue("WatchEvents", WatchEventsRequest(after_sequence=after_sequence), WatchEventsResponse)


def inject_fault(name: str, kind: FaultKind, joint: str) -> Call[Unit]:
    """Put a fault into an emulated unit."""
    return _venue("InjectUnitFault", InjectUnitFaultRequest(name=name, kind=kind, joint=joint), Unit)


def reset_unit(name: str, etag: str) -> Call[Unit]:
    """Clear a unit's latched fault."""
    return _venue("ResetUnit", ResetUnitRequest(name=name, etag=etag), Unit)


def stop_unit(name: str, reason: str = "") -> Call[Unit]:
    """Ask a unit for a protective stop."""
    return _venue("StopUnit", StopUnitRequest(name=name, reason=reason), Unit)


def stop_cell(name: str, reason: str) -> Call[StopUnitsResponse]:
    """Ask the units of a cell for a protective stop."""
    return _fleet("StopCell", StopCellRequest(name=name, reason=reason), StopUnitsResponse)


def stop_venue(reason: str) -> Call[StopUnitsResponse]:
    """Ask all units for a protective stop."""
    return _fleet("StopVenue", StopVenueRequest(name=_THIS_VENUE, reason=reason), StopUnitsResponse)


def reorder_job(name: str, priority: int, reason: str, etag: str) -> Call[Job]:
    """Give a job another priority."""
    request = ReorderJobRequest(name=name, priority=priority, reason=reason, etag=etag)
    return _job("ReorderJob", request, Job)


def audit_entries(parent: str, after_sequence: int) -> Listing[ListAuditEntriesResponse, AuditEntry]:
    """Entries of a chain of the audit."""
    request = ListAuditEntriesRequest(parent=parent, page_size=_PAGE_SIZE, after_sequence=after_sequence)
    return Listing(_audit("ListAuditEntries", request, ListAuditEntriesResponse), lambda page: page.entries)


def audit_head(parent: str) -> Call[AuditHead]:
    """Where a chain of the audit ends."""
    return _audit("GetAuditHead", GetAuditHeadRequest(parent=parent), AuditHead)


def set_unit_health(name: str, health: UnitHealth, cause: str, etag: str, request_id: str) -> Call[Unit]:
    """Take a unit out of service, or bring it back."""
    request = SetUnitHealthRequest(name=name, health=health, cause=cause, etag=etag, request_id=request_id)
    return _fleet("SetUnitHealth", request, Unit)


def calibrate_unit(name: str, expire_s: float | None, etag: str, request_id: str) -> Call[Unit]:
    """Write down until when a unit's calibration is good."""
    request = CalibrateUnitRequest(name=name, etag=etag, request_id=request_id)
    if expire_s is not None:
        request.expire_time.FromNanoseconds(int(expire_s * 1e9))
    return _fleet("CalibrateUnit", request, Unit)


def submit(parent: str, job: Job, request_id: str, *, validate_only: bool) -> Call[Job]:
    """Submit one job."""
    request = SubmitJobRequest(parent=parent, job=job, request_id=request_id, validate_only=validate_only)
    return _job("SubmitJob", request, Job)


def submit_many(
    parent: str,
    jobs: Sequence[Job],
    request_ids: Sequence[str],
    *,
    atomic: bool,
    after_indices: Mapping[int, Sequence[int]],
) -> Call[BatchSubmitJobsResponse]:
    """Submit jobs in one transaction."""
    requests = [
        SubmitJobRequest(parent=parent, job=job, request_id=request_id, after_indices=after_indices.get(index, ()))
        for index, (job, request_id) in enumerate(zip(jobs, request_ids, strict=True))
    ]
    request = BatchSubmitJobsRequest(parent=parent, requests=requests, atomic=atomic)
    return _job("BatchSubmitJobs", request, BatchSubmitJobsResponse)


def job(name: str) -> Call[Job]:
    """One job."""
    return _job("GetJob", GetJobRequest(name=name), Job)


def jobs(parent: str, states: Iterable[JobState], array: str) -> Listing[ListJobsResponse, Job]:
    """Jobs of a vendor, or of all, newest first; of one array, if it is named."""
    request = ListJobsRequest(parent=parent, page_size=_PAGE_SIZE, states=states, array=array)
    return Listing(_job("ListJobs", request, ListJobsResponse), lambda page: page.jobs)


def cancel(name: str, request_id: str, etag: str) -> Call[Job]:
    """Ask for the end of a job."""
    return _job("CancelJob", CancelJobRequest(name=name, request_id=request_id, etag=etag), Job)


def submit_array(parent: str, job: Job, size: int, request_id: str, *, validate_only: bool) -> Call[JobArray]:
    """Submit like jobs in one transaction."""
    request = SubmitJobArrayRequest(
        parent=parent, job=job, size=size, request_id=request_id, validate_only=validate_only
    )
    return _array("SubmitJobArray", request, JobArray)


def array(name: str) -> Call[JobArray]:
    """One array of jobs."""
    return _array("GetJobArray", GetJobArrayRequest(name=name), JobArray)


def cancel_array(name: str, request_id: str) -> Call[JobArray]:
    """Ask for the end of an array's jobs."""
    return _array("CancelJobArray", CancelJobArrayRequest(name=name, request_id=request_id), JobArray)


def open_slot(name: str) -> Call[SlotTicket]:
    """Where the worlds of a job to serve are, with a ticket."""
    return _job("OpenSlot", OpenSlotRequest(name=name), SlotTicket)


def explain(name: str) -> Call[ExplainJobResponse]:
    """Why a job waits."""
    return _job("ExplainJob", ExplainJobRequest(name=name), ExplainJobResponse)


def what_if(parent: str, job: Job) -> Call[WhatIfResponse]:
    """When a job would start."""
    return _job("WhatIf", WhatIfRequest(parent=parent, job=job), WhatIfResponse)


def estimates() -> Call[EstimateCalibration]:
    """How well told starts have held."""
    request = GetEstimateCalibrationRequest(parent=_THIS_VENUE)
    return Call("/palaestra.v1.EstimateService/GetEstimateCalibration", request, EstimateCalibration)


def watch_job(name: str) -> Call[Job]:
    """A job now and at each change."""
    return _job("WatchJob", WatchJobRequest(name=name), Job)


def read_log(name: str, from_line: int, *, follow: bool) -> Call[ReadLogResponse]:
    """A job's log."""
    return _job("ReadLog", ReadLogRequest(name=name, from_line=from_line, follow=follow), ReadLogResponse)


def episode(name: str) -> Call[Episode]:
    """One episode's row of the catalogue."""
    return _episode("GetEpisode", GetEpisodeRequest(name=name), Episode)


def episodes(parent: str, job: str, robot_model: str) -> Listing[ListEpisodesResponse, Episode]:
    """Episodes of a vendor, or of all, newest first."""
    request = ListEpisodesRequest(parent=parent, page_size=_PAGE_SIZE, job=job, robot_model=robot_model)
    return Listing(_episode("ListEpisodes", request, ListEpisodesResponse), lambda page: page.episodes)


def reserve(parent: str, reservation: Reservation, request_id: str, *, validate_only: bool) -> Call[Reservation]:
    """Hold a claim in advance."""
    request = CreateReservationRequest(
        parent=parent, reservation=reservation, request_id=request_id, validate_only=validate_only
    )
    return _reservation("CreateReservation", request, Reservation)


def reservation(name: str) -> Call[Reservation]:
    """One reservation."""
    return _reservation("GetReservation", GetReservationRequest(name=name), Reservation)


def reservations(parent: str, *, show_ended: bool) -> Listing[ListReservationsResponse, Reservation]:
    """Reservations of a vendor, or of all, newest first."""
    request = ListReservationsRequest(parent=parent, page_size=_PAGE_SIZE, show_ended=show_ended)
    return Listing(_reservation("ListReservations", request, ListReservationsResponse), lambda page: page.reservations)


def cancel_reservation(name: str, etag: str) -> Call[Reservation]:
    """Give a reservation back."""
    return _reservation("CancelReservation", CancelReservationRequest(name=name, etag=etag), Reservation)


def closures() -> Listing[ListClosuresResponse, Closure]:
    """Closures that are not over."""
    request = ListClosuresRequest(parent=_THIS_VENUE, page_size=_PAGE_SIZE)
    return Listing(_calendar("ListClosures", request, ListClosuresResponse), lambda page: page.closures)


def closed_times(days: int) -> Call[ListClosedTimesResponse]:
    """When what is closed, from now on."""
    return _calendar("ListClosedTimes", ListClosedTimesRequest(parent=_THIS_VENUE, days=days), ListClosedTimesResponse)


def create_closure(closure: Closure, request_id: str, *, validate_only: bool) -> Call[Closure]:
    """Close something for a time."""
    request = CreateClosureRequest(
        parent=_THIS_VENUE, closure=closure, request_id=request_id, validate_only=validate_only
    )
    return _calendar("CreateClosure", request, Closure)


def delete_closure(name: str) -> Call[DeleteClosureResponse]:
    """Take a closure back."""
    return _calendar("DeleteClosure", DeleteClosureRequest(name=name), DeleteClosureResponse)


def create_api_key(parent: str, key: ApiKey, *, validate_only: bool) -> Call[ApiKeySecret]:
    """Make a key."""
    return _key(
        "CreateApiKey", CreateApiKeyRequest(parent=parent, api_key=key, validate_only=validate_only), ApiKeySecret
    )


def api_key(name: str) -> Call[ApiKey]:
    """One key."""
    return _key("GetApiKey", GetApiKeyRequest(name=name), ApiKey)


def api_keys(parent: str, *, show_ended: bool) -> Listing[ListApiKeysResponse, ApiKey]:
    """Keys of a vendor, of all vendors, or of the house, newest first."""
    request = ListApiKeysRequest(parent=parent, page_size=_PAGE_SIZE, show_ended=show_ended)
    return Listing(_key("ListApiKeys", request, ListApiKeysResponse), lambda page: page.api_keys)


def rotate_api_key(name: str, overlap_s: float) -> Call[ApiKeySecret]:
    """Give a key a new secret."""
    request = RotateApiKeyRequest(name=name)
    request.overlap.FromNanoseconds(int(overlap_s * 1e9))
    return _key("RotateApiKey", request, ApiKeySecret)


def revoke_api_key(name: str) -> Call[ApiKey]:
    """Take a key back."""
    return _key("RevokeApiKey", RevokeApiKeyRequest(name=name), ApiKey)


def _key(method: str, request: Message, response: type[R]) -> Call[R]:
    return Call(f"/palaestra.v1.ApiKeyService/{method}", request, response)


def _audit(method: str, request: Message, response: type[R]) -> Call[R]:
    return Call(f"/palaestra.v1.AuditService/{method}", request, response)


def _reservation(method: str, request: Message, response: type[R]) -> Call[R]:
    return Call(f"/palaestra.v1.ReservationService/{method}", request, response)


def _calendar(method: str, request: Message, response: type[R]) -> Call[R]:
    return Call(f"/palaestra.v1.CalendarService/{method}", request, response)


def _job(method: str, request: Message, response: type[R]) -> Call[R]:
    return Call(f"/palaestra.v1.JobService/{method}", request, response)


def _array(method: str, request: Message, response: type[R]) -> Call[R]:
    return Call(f"/palaestra.v1.JobArrayService/{method}", request, response)


def _venue(method: str, request: Message, response: type[R]) -> Call[R]:
    return Call(f"/palaestra.v1.VenueService/{method}", request, response)


def _fleet(method: str, request: Message, response: type[R]) -> Call[R]:
    return Call(f"/palaestra.v1.FleetService/{method}", request, response)


def _episode(method: str, request: Message, response: type[R]) -> Call[R]:
    return Call(f"/palaestra.v1.EpisodeService/{method}", request, response)
