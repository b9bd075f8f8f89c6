"""Who may call what: one row for each method, checked at the gate. A method without a row is open to nobody.

`python -m scheduler.roles > docs/roles.md` prints it for people.

`vendor` is the vendor itself, who also makes its keys; `engineer` works for it; `reader` only looks. `operator` runs
the house; `safety` looks at everything, stops and takes out of service, and starts nothing. `host` and `runner` are the
house's processes, `gateway` is the api: it asks whether the scheduler answers, and carries what its callers showed.
"""

from collections.abc import Mapping, Sequence
from enum import Enum

PACKAGE = "palaestra.v1."


class Role(Enum):
    VENDOR = "vendor"
    ENGINEER = "engineer"
    READER = "reader"
    OPERATOR = "operator"
    SAFETY = "safety"
    HOST = "host"
    RUNNER = "runner"
    GATEWAY = "gateway"

    @property
    def acts_for_vendor(self) -> bool:
        """Whether who has the role acts for one vendor, and not for the house."""
        return self in VENDORS

    @property
    def sees_everybody(self) -> bool:
        """Whether what belongs to any vendor is visible."""
        return self in (Role.OPERATOR, Role.SAFETY)


VENDORS = (Role.VENDOR, Role.ENGINEER, Role.READER)

_TABLE = """
ApiKeyService/CreateApiKey             vendor                  operator
ApiKeyService/GetApiKey                vendor                  operator safety
ApiKeyService/ListApiKeys              vendor                  operator safety
ApiKeyService/RevokeApiKey             vendor                  operator
ApiKeyService/RotateApiKey             vendor                  operator
AuditService/GetAuditHead              vendor                  operator safety
AuditService/ListAuditEntries          vendor                  operator safety
CalendarService/CreateClosure                                  operator safety
CalendarService/DeleteClosure                                  operator safety
CalendarService/ListClosedTimes        vendor engineer reader  operator safety
CalendarService/ListClosures           vendor engineer reader  operator safety
DataService/CreateDataset              vendor engineer
DataService/CreateDatasetVersion       vendor engineer
DataService/GetDataset                 vendor engineer reader  operator safety
DataService/GetDatasetVersion          vendor engineer reader  operator safety
DataService/GetRecord                  vendor engineer reader  operator safety
DataService/LabelEpisodes              vendor engineer
DataService/ListDatasetEpisodes        vendor engineer reader  operator safety
DataService/ListDatasets               vendor engineer reader  operator safety
DataService/ListDatasetVersions        vendor engineer reader  operator safety
DataService/ListRecords                vendor engineer reader  operator safety
DataService/ListSessions               vendor engineer reader  operator safety
EpisodeService/GetEpisode              vendor engineer reader  operator safety
EpisodeService/ListEpisodes            vendor engineer reader  operator safety
EstimateService/GetEstimateCalibration vendor engineer reader  operator safety
FleetService/CalibrateUnit                                     operator
FleetService/SetUnitHealth                                     operator safety
FleetService/StopCell                                          operator safety
FleetService/StopVenue                                         operator safety
HostService/Connect                                                            host
JobArrayService/CancelJobArray         vendor engineer         operator
JobArrayService/GetJobArray            vendor engineer reader  operator safety
JobArrayService/SubmitJobArray         vendor engineer
JobService/BatchSubmitJobs             vendor engineer
JobService/CancelJob                   vendor engineer         operator
JobService/ExplainJob                  vendor engineer reader  operator safety
JobService/GetJob                      vendor engineer reader  operator safety
JobService/ListJobs                    vendor engineer reader  operator safety
JobService/OpenSlot                    vendor engineer
JobService/ReadLog                     vendor engineer reader  operator safety
JobService/ReorderJob                  vendor engineer         operator
JobService/SubmitJob                   vendor engineer
JobService/WatchJob                    vendor engineer reader  operator safety
JobService/WhatIf                      vendor engineer reader
ReservationService/CancelReservation   vendor engineer         operator
ReservationService/CreateReservation   vendor engineer
ReservationService/GetReservation      vendor engineer reader  operator safety
ReservationService/ListReservations    vendor engineer reader  operator safety
ReviewService/AnswerReview             vendor engineer
ReviewService/ClaimReview              vendor engineer
ReviewService/GetReview                vendor engineer reader  operator safety
ReviewService/GetReviewFigures         vendor engineer reader  operator safety
ReviewService/ListReviews              vendor engineer reader  operator safety
ReviewService/ReleaseReview            vendor engineer
RunnerService/AppendLog                                                             runner
RunnerService/CatalogueEpisode                                                      runner
RunnerService/FinishAttempt                                                         runner
RunnerService/HeartbeatAttempts                                                     runner
RunnerService/SaveCheckpoint                                                        runner
RunnerService/StartAttempt                                                          runner
RunnerService/WatchAssignments                                                      runner
StoreService/CheckRoom                                                              runner
StoreService/GetStoreUsage             vendor engineer reader  operator safety
VenueService/GetIdentity               vendor engineer reader  operator safety host runner gateway
VenueService/GetLease                  vendor engineer reader  operator safety
VenueService/GetUnit                   vendor engineer reader  operator safety
VenueService/GetVenue                  vendor engineer reader  operator safety host runner gateway
VenueService/InjectUnitFault                                   operator
VenueService/ListCells                 vendor engineer reader  operator safety
VenueService/ListLeases                vendor engineer reader  operator safety
VenueService/ListSimSlots              vendor engineer reader  operator safety
VenueService/ListUnits                 vendor engineer reader  operator safety
VenueService/ListUsage                 vendor engineer reader  operator safety
VenueService/ResetUnit                                         operator
VenueService/StopUnit                                          operator safety
VenueService/WatchEvents               vendor engineer reader  operator safety
"""


def _parsed(table: str) -> dict[str, frozenset[Role]]:
    rows = [line.split() for line in table.strip().splitlines()]
    found = {method: frozenset(Role(word) for word in words) for method, *words in rows}
    assert len(found) == len(rows), "a method stands in the table twice"
    return found


ROLES: Mapping[str, frozenset[Role]] = _parsed(_TABLE)
"""The roles that may call a method, by "Service/Method"."""

# What every credential needs to find out what it is; no scope takes it away.
UNSCOPED = frozenset({"VenueService/GetIdentity", "VenueService/GetVenue"})


def short(method: str) -> str:
    """Return "Service/Method" of a method's full name."""
    return method.removeprefix("/").removeprefix(PACKAGE)


def in_scope(method: str, scopes: frozenset[str]) -> bool:
    """Return whether scopes such as "JobService/*" include a method, "Service/Method". No scopes include all."""
    return not scopes or method in UNSCOPED or method in scopes or f"{method.split('/')[0]}/*" in scopes


def unknown_scope(scopes: Sequence[str], role: Role) -> str | None:
    """Return the first scope that includes no method of the role, None if there is none."""
    open_to = [method for method, roles in ROLES.items() if role in roles]
    return next((scope for scope in scopes if not any(in_scope(m, frozenset({scope})) for m in _plain(open_to))), None)


def _plain(methods: Sequence[str]) -> list[str]:
    return [method for method in methods if method not in UNSCOPED]


_HEAD = """\
# Roles

Who may call what, printed from the table in `scheduler/roles.py` by `python -m scheduler.roles`. How roles are given to
people and programs: [security](security.md).

"""


def markdown() -> str:
    """Return the table as a page."""
    names = [role.value for role in Role]
    lines = [f"| method | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    for method, roles in ROLES.items():
        marks = ["x" if role in roles else "" for role in Role]
        lines.append(f"| `{method}` | {' | '.join(marks)} |")
    return _HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
