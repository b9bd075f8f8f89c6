"""Which HTTP request is which method of the contract: the whole of the plain REST surface as one table.

A row says how a request is made from path, query, headers and body; `routes` turns rows into handlers. What
needs more than one call of the scheduler (live events, logs, contents, exports) has its own file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from google.protobuf.message import Message

from palaestra.v1 import (
    api_key_pb2,
    api_key_service_pb2,
    audit_pb2,
    audit_service_pb2,
    calendar_pb2,
    calendar_service_pb2,
    data_pb2,
    data_service_pb2,
    episode_pb2,
    episode_service_pb2,
    estimate_pb2,
    estimate_service_pb2,
    fleet_service_pb2,
    job_array_pb2,
    job_array_service_pb2,
    job_pb2,
    job_service_pb2,
    reservation_pb2,
    reservation_service_pb2,
    review_pb2,
    review_service_pb2,
    venue_pb2,
    venue_service_pb2,
)


@dataclass(frozen=True)
class Binding:
    """One route and the method behind it.

    Attributes:
        fixed: Request fields that the path gives, as templates over its parameters; {venue} is this venue.
        body: Request field that the JSON body becomes, "*" for the whole request, "" for no body.
        headers: HTTP header to request field.
    """

    verb: str
    path: str
    rpc: str
    request: type[Message]
    response: type[Message]
    summary: str
    fixed: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def bound(self) -> frozenset[str]:
        """Fields of the request that a query parameter cannot set."""
        return frozenset(self.fixed) | frozenset(self.headers.values()) | {self.body}


_V = venue_service_pb2
_F = fleet_service_pb2
_J = job_service_pb2
_A = job_array_service_pb2
_E = episode_service_pb2
_D = data_service_pb2
_C = calendar_service_pb2
_S = estimate_service_pb2
_R = reservation_service_pb2
_W = review_service_pb2
_P = api_key_service_pb2
_U = audit_service_pb2
_VENUE = {"parent": "venues/-"}
_VENDOR = {"parent": "vendors/{vendor}"}
_JOB = {"name": "vendors/{vendor}/jobs/{job}"}
_EPISODE = {"name": "vendors/{vendor}/episodes/{episode}"}
_ARRAY = {"name": "vendors/{vendor}/jobArrays/{array}"}
_UNIT = {"name": "venues/{venue}/units/{unit}"}
_CELL = {"name": "venues/{venue}/cells/{cell}"}
_CHAIN = {"parent": "{collection}/{owner}"}
_CLOSURE = {"name": "venues/{venue}/closures/{closure}"}
_RESERVATION = {"name": "vendors/{vendor}/reservations/{reservation}"}
_API_KEY = {"name": "vendors/{vendor}/apiKeys/{key}"}
_IF_MATCH = {"If-Match": "etag"}
_KEY = {"Idempotency-Key": "request_id"}

# Custom methods stand before the plain resource, whose path would match them too.
BINDINGS: tuple[Binding, ...] = (
    Binding("GET", "/v1/venue", "VenueService.GetVenue", _V.GetVenueRequest, venue_pb2.Venue,
            "The training ground", {"name": "venues/-"}),
    Binding("GET", "/v1/identity", "VenueService.GetIdentity", _V.GetIdentityRequest, _V.GetIdentityResponse,
            "Who the token belongs to"),
    Binding("GET", "/v1/units", "VenueService.ListUnits", _V.ListUnitsRequest, _V.ListUnitsResponse,
            "Robots and their state", _VENUE),
    Binding("POST", "/v1/units/{unit}:stop", "VenueService.StopUnit", _V.StopUnitRequest, venue_pb2.Unit,
            "Ask a unit for a protective stop (not a safety-rated emergency stop)", _UNIT, body="*"),
    Binding("POST", "/v1/cells/{cell}:stop", "FleetService.StopCell", _F.StopCellRequest, _F.StopUnitsResponse,
            "Ask all units of a cell for a protective stop (not a safety-rated emergency stop)", _CELL, body="*"),
    Binding("POST", "/v1/venue:stop", "FleetService.StopVenue", _F.StopVenueRequest, _F.StopUnitsResponse,
            "Ask all units for a protective stop (not a safety-rated emergency stop)", {"name": "venues/-"}, body="*"),
    Binding("POST", "/v1/units/{unit}:reset", "VenueService.ResetUnit", _V.ResetUnitRequest, venue_pb2.Unit,
            "Clear a unit's latched fault; never starts motion", _UNIT, headers=_IF_MATCH),
    Binding("POST", "/v1/units/{unit}:fault", "VenueService.InjectUnitFault", _V.InjectUnitFaultRequest, venue_pb2.Unit,
            "Put a fault into an emulated unit", _UNIT, body="*", headers=_IF_MATCH),
    Binding("POST", "/v1/units/{unit}:setHealth", "FleetService.SetUnitHealth", _F.SetUnitHealthRequest, venue_pb2.Unit,
            "Take a unit out of service, or bring it back", _UNIT, body="*", headers={**_IF_MATCH, **_KEY}),
    Binding("POST", "/v1/units/{unit}:calibrate", "FleetService.CalibrateUnit", _F.CalibrateUnitRequest, venue_pb2.Unit,
            "Write down until when a unit's calibration is good", _UNIT, body="*", headers={**_IF_MATCH, **_KEY}),
    Binding("GET", "/v1/units/{unit}", "VenueService.GetUnit", _V.GetUnitRequest, venue_pb2.Unit,
            "One robot", _UNIT),
    Binding("GET", "/v1/cells", "VenueService.ListCells", _V.ListCellsRequest, _V.ListCellsResponse,
            "Workplaces and what they are fitted for", _VENUE),
    Binding("GET", "/v1/sim-slots", "VenueService.ListSimSlots", _V.ListSimSlotsRequest, _V.ListSimSlotsResponse,
            "Leasable simulation capacity", _VENUE),
    Binding("GET", "/v1/leases", "VenueService.ListLeases", _V.ListLeasesRequest, _V.ListLeasesResponse,
            "The caller's leases; operators see all"),
    Binding("GET", "/v1/usage", "VenueService.ListUsage", _V.ListUsageRequest, _V.ListUsageResponse,
            "What the caller and all together have used; operators see every vendor"),
    Binding("GET", "/v1/estimates", "EstimateService.GetEstimateCalibration", _S.GetEstimateCalibrationRequest,
            estimate_pb2.EstimateCalibration, "How well the starts that were told have held", _VENUE),
    Binding("GET", "/v1/vendors/{vendor}/jobs", "JobService.ListJobs", _J.ListJobsRequest, _J.ListJobsResponse,
            "Jobs, newest first; vendor `-` for operators", _VENDOR),
    Binding("POST", "/v1/vendors/{vendor}/jobs", "JobService.SubmitJob", _J.SubmitJobRequest, job_pb2.Job,
            "Submit a job; durable when answered", _VENDOR, "job", _KEY),
    Binding("POST", "/v1/vendors/{vendor}/jobs:batchSubmit", "JobService.BatchSubmitJobs", _J.BatchSubmitJobsRequest,
            _J.BatchSubmitJobsResponse, "Submit up to 1,000 jobs in one transaction", _VENDOR, "*"),
    Binding("POST", "/v1/vendors/{vendor}/jobs:whatIf", "JobService.WhatIf", _J.WhatIfRequest, _J.WhatIfResponse,
            "When a job would start if it were submitted now, and what would help", _VENDOR, "job"),
    Binding("POST", "/v1/vendors/{vendor}/jobs/{job}:cancel", "JobService.CancelJob", _J.CancelJobRequest, job_pb2.Job,
            "Ask for the end of a job", _JOB, headers=_IF_MATCH | _KEY),
    Binding("POST", "/v1/vendors/{vendor}/jobs/{job}:reorder", "JobService.ReorderJob", _J.ReorderJobRequest,
            job_pb2.Job, "Give a job another priority, and say why", _JOB, body="*", headers=_IF_MATCH),
    Binding("POST", "/v1/vendors/{vendor}/jobs/{job}:openSlot", "JobService.OpenSlot", _J.OpenSlotRequest,
            _J.SlotTicket, "Where the worlds of a job to serve are, and what opens them for a little while", _JOB),
    Binding("GET", "/v1/vendors/{vendor}/jobs/{job}:explain", "JobService.ExplainJob", _J.ExplainJobRequest,
            _J.ExplainJobResponse, "Why a job waits, and what would help", _JOB),
    Binding("GET", "/v1/vendors/{vendor}/jobs/{job}", "JobService.GetJob", _J.GetJobRequest, job_pb2.Job,
            "One job", _JOB),
    Binding("POST", "/v1/vendors/{vendor}/job-arrays", "JobArrayService.SubmitJobArray", _A.SubmitJobArrayRequest,
            job_array_pb2.JobArray, "Submit up to 10,000 like jobs in one transaction", _VENDOR, "*", _KEY),
    Binding("POST", "/v1/vendors/{vendor}/job-arrays/{array}:cancel", "JobArrayService.CancelJobArray",
            _A.CancelJobArrayRequest, job_array_pb2.JobArray, "Ask for the end of every job of an array", _ARRAY,
            headers=_KEY),
    Binding("GET", "/v1/vendors/{vendor}/job-arrays/{array}", "JobArrayService.GetJobArray", _A.GetJobArrayRequest,
            job_array_pb2.JobArray, "An array of jobs, with how many are in which state", _ARRAY),
    Binding("GET", "/v1/vendors/{vendor}/episodes", "EpisodeService.ListEpisodes", _E.ListEpisodesRequest,
            _E.ListEpisodesResponse, "Recorded runs, newest first", _VENDOR),
    Binding("GET", "/v1/vendors/{vendor}/episodes/{episode}", "EpisodeService.GetEpisode", _E.GetEpisodeRequest,
            episode_pb2.Episode, "One recorded run", {"name": "vendors/{vendor}/episodes/{episode}"}),
    Binding("POST", "/v1/vendors/{vendor}/records:search", "DataService.ListRecords", _D.ListRecordsRequest,
            _D.ListRecordsResponse, "Search recorded runs, newest first; vendor `-` for operators", _VENDOR, "*"),
    Binding("POST", "/v1/vendors/{vendor}/episodes:label", "DataService.LabelEpisodes", _D.LabelEpisodesRequest,
            _D.LabelEpisodesResponse, "Label or score recorded runs, all or none", _VENDOR, "*"),
    Binding("GET", "/v1/vendors/{vendor}/records/{episode}", "DataService.GetRecord", _D.GetRecordRequest,
            data_pb2.EpisodeRecord, "One recorded run with labels, score and data sets",
            {"name": "vendors/{vendor}/episodes/{episode}"}),
    Binding("POST", "/v1/vendors/{vendor}/reviews:search", "ReviewService.ListReviews", _W.ListReviewsRequest,
            _W.ListReviewsResponse, "The review queue in an order; vendor `-` for operators", _VENDOR, "*"),
    Binding("POST", "/v1/vendors/{vendor}/reviews:claim", "ReviewService.ClaimReview", _W.ClaimReviewRequest,
            _W.ClaimReviewResponse, "Take the first that nobody else looks at, for a time", _VENDOR, "*"),
    Binding("GET", "/v1/vendors/{vendor}/reviews:figures", "ReviewService.GetReviewFigures",
            _W.GetReviewFiguresRequest, _W.ReviewFigures, "How far rules and people agree; how long the queue is",
            _VENDOR),
    Binding("GET", "/v1/vendors/{vendor}/reviews/{episode}", "ReviewService.GetReview", _W.GetReviewRequest,
            review_pb2.Review, "What rules and people say of an episode", _EPISODE),
    Binding("POST", "/v1/vendors/{vendor}/reviews/{episode}:answer", "ReviewService.AnswerReview",
            _W.AnswerReviewRequest, review_pb2.Review, "Say what it is; for ever", _EPISODE, "answer"),
    Binding("POST", "/v1/vendors/{vendor}/reviews/{episode}:release", "ReviewService.ReleaseReview",
            _W.ReleaseReviewRequest, review_pb2.Review, "Give it back to the queue", _EPISODE, "*"),
    Binding("GET", "/v1/vendors/{vendor}/sessions", "DataService.ListSessions", _D.ListSessionsRequest,
            _D.ListSessionsResponse, "What each attempt has recorded, newest first", _VENDOR),
    Binding("GET", "/v1/vendors/{vendor}/datasets", "DataService.ListDatasets", _D.ListDatasetsRequest,
            _D.ListDatasetsResponse, "Data sets by name", _VENDOR),
    Binding("POST", "/v1/vendors/{vendor}/datasets", "DataService.CreateDataset", _D.CreateDatasetRequest,
            data_pb2.Dataset, "Make a data set without a version", _VENDOR, "*"),
    Binding("GET", "/v1/vendors/{vendor}/datasets/{dataset}", "DataService.GetDataset", _D.GetDatasetRequest,
            data_pb2.Dataset, "One data set", {"name": "vendors/{vendor}/datasets/{dataset}"}),
    Binding("GET", "/v1/vendors/{vendor}/datasets/{dataset}/versions", "DataService.ListDatasetVersions",
            _D.ListDatasetVersionsRequest, _D.ListDatasetVersionsResponse, "Versions of a data set, newest first",
            {"parent": "vendors/{vendor}/datasets/{dataset}"}),
    Binding("POST", "/v1/vendors/{vendor}/datasets/{dataset}/versions", "DataService.CreateDatasetVersion",
            _D.CreateDatasetVersionRequest, data_pb2.DatasetVersion, "Fix a list of episodes for ever",
            {"parent": "vendors/{vendor}/datasets/{dataset}"}, "*"),
    Binding("GET", "/v1/vendors/{vendor}/datasets/{dataset}/versions/{version}", "DataService.GetDatasetVersion",
            _D.GetDatasetVersionRequest, data_pb2.DatasetVersion, "One version",
            {"name": "vendors/{vendor}/datasets/{dataset}/versions/{version}"}),
    Binding("GET", "/v1/vendors/{vendor}/datasets/{dataset}/versions/{version}/episodes",
            "DataService.ListDatasetEpisodes", _D.ListDatasetEpisodesRequest, _D.ListDatasetEpisodesResponse,
            "The episodes of a version in its order",
            {"parent": "vendors/{vendor}/datasets/{dataset}/versions/{version}"}),
    Binding("GET", "/v1/closures", "CalendarService.ListClosures", _C.ListClosuresRequest, _C.ListClosuresResponse,
            "Closures that are not over", _VENUE),
    Binding("POST", "/v1/closures", "CalendarService.CreateClosure", _C.CreateClosureRequest, calendar_pb2.Closure,
            "Close the venue, zones, units or cells for a time; operators", _VENUE, "closure", _KEY),
    Binding("DELETE", "/v1/closures/{closure}", "CalendarService.DeleteClosure", _C.DeleteClosureRequest,
            _C.DeleteClosureResponse, "Take a closure back; operators", _CLOSURE),
    Binding("GET", "/v1/closed-times", "CalendarService.ListClosedTimes", _C.ListClosedTimesRequest,
            _C.ListClosedTimesResponse, "When what is closed: opening hours and closures together", _VENUE),
    Binding("GET", "/v1/vendors/{vendor}/reservations", "ReservationService.ListReservations",
            _R.ListReservationsRequest, _R.ListReservationsResponse,
            "Claims held in advance, newest first; vendor `-` for operators", _VENDOR),
    Binding("POST", "/v1/vendors/{vendor}/reservations", "ReservationService.CreateReservation",
            _R.CreateReservationRequest, reservation_pb2.Reservation, "Hold a claim in advance", _VENDOR,
            "reservation", _KEY),
    Binding("POST", "/v1/vendors/{vendor}/reservations/{reservation}:cancel", "ReservationService.CancelReservation",
            _R.CancelReservationRequest, reservation_pb2.Reservation, "Give a reservation back", _RESERVATION,
            headers=_IF_MATCH),
    Binding("GET", "/v1/vendors/{vendor}/reservations/{reservation}", "ReservationService.GetReservation",
            _R.GetReservationRequest, reservation_pb2.Reservation, "One reservation", _RESERVATION),
    Binding("GET", "/v1/vendors/{vendor}/api-keys", "ApiKeyService.ListApiKeys", _P.ListApiKeysRequest,
            _P.ListApiKeysResponse, "Keys for programs, newest first, without their secrets", _VENDOR),
    Binding("POST", "/v1/vendors/{vendor}/api-keys", "ApiKeyService.CreateApiKey", _P.CreateApiKeyRequest,
            _P.ApiKeySecret, "Make a key; its secret is told in this answer alone", _VENDOR, "api_key"),
    Binding("POST", "/v1/vendors/{vendor}/api-keys/{key}:rotate", "ApiKeyService.RotateApiKey", _P.RotateApiKeyRequest,
            _P.ApiKeySecret, "Give a key a new secret; it is told in this answer alone", _API_KEY, "*", _IF_MATCH),
    Binding("POST", "/v1/vendors/{vendor}/api-keys/{key}:revoke", "ApiKeyService.RevokeApiKey", _P.RevokeApiKeyRequest,
            api_key_pb2.ApiKey, "Take a key back for good", _API_KEY, headers=_IF_MATCH),
    Binding("GET", "/v1/vendors/{vendor}/api-keys/{key}", "ApiKeyService.GetApiKey", _P.GetApiKeyRequest,
            api_key_pb2.ApiKey, "One key, without its secret", _API_KEY),
    Binding("GET", "/v1/{collection}/{owner}/audit", "AuditService.ListAuditEntries", _U.ListAuditEntriesRequest,
            _U.ListAuditEntriesResponse, "Who did what, oldest first: of `vendors/acme`, or for the house `venues/-`",
            _CHAIN),
    Binding("GET", "/v1/{collection}/{owner}/audit:head", "AuditService.GetAuditHead", _U.GetAuditHeadRequest,
            audit_pb2.AuditHead, "Where the chain ends now", _CHAIN),
)  # fmt: skip

# Lists of everything that the caller may see: the parent follows from the token.
OWN_PARENT = frozenset({"VenueService.ListLeases", "VenueService.ListUsage"})
