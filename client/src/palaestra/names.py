"""Resource names: full ones as the contract has them, short ones as people type them."""

from palaestra.errors import PalaestraError
from palaestra.v1.calendar_pb2 import Closure
from palaestra.v1.claim_pb2 import Claim
from palaestra.v1.job_pb2 import Job
from palaestra.v1.venue_service_pb2 import GetIdentityResponse


def is_short(name: str) -> bool:
    """Return whether a name is only the last part of a resource name."""
    return "/" not in name


def job(name: str, identity: GetIdentityResponse) -> str:
    """Return "vendors/{vendor}/jobs/{name}" of the caller's vendor; a full name stays as it is.

    Raises:
        PalaestraError: INVALID_FIELD if the caller has no vendor of its own, as operators.
    """
    return _own(name, identity, "job", "jobs")


def job_array(name: str, identity: GetIdentityResponse) -> str:
    """Return "vendors/{vendor}/jobArrays/{name}" of the caller's vendor; a full name stays as it is.

    Raises:
        PalaestraError: INVALID_FIELD if the caller has no vendor of its own, as operators.
    """
    return _own(name, identity, "job array", "jobArrays")


def episode(name: str, identity: GetIdentityResponse) -> str:
    """Return "vendors/{vendor}/episodes/{name}" of the caller's vendor; a full name stays as it is.

    Raises:
        PalaestraError: INVALID_FIELD if the caller has no vendor of its own, as operators.
    """
    return _own(name, identity, "episode", "episodes")


def dataset(name: str, identity: GetIdentityResponse) -> str:
    """Return "vendors/{vendor}/datasets/{name}" of the caller's vendor; a full name stays as it is.

    Raises:
        PalaestraError: INVALID_FIELD if the caller has no vendor of its own, as operators.
    """
    return _own(name, identity, "data set", "datasets")


def dataset_version(name: str, identity: GetIdentityResponse) -> str:
    """Return the full name of a version from "{dataset}/{number}"; a full name stays as it is.

    Raises:
        PalaestraError: INVALID_FIELD for a name without a number, or if the caller has no vendor of its own.
    """
    if name.startswith("vendors/"):
        return name
    own, slash, number = name.partition("/")
    if not slash:
        raise PalaestraError("INVALID_FIELD", f"{name!r} names no version: {name}/1 is the first one of a data set")
    return f"{dataset(own, identity)}/versions/{number}"


def unit(name: str, identity: GetIdentityResponse) -> str:
    """Return "venues/{venue}/units/{name}"; a full name stays as it is."""
    return f"{identity.venue}/units/{name}" if is_short(name) else name


def cell(name: str, identity: GetIdentityResponse) -> str:
    """Return "venues/{venue}/cells/{name}"; a full name stays as it is."""
    return f"{identity.venue}/cells/{name}" if is_short(name) else name


def reservation(name: str, identity: GetIdentityResponse) -> str:
    """Return "vendors/{vendor}/reservations/{name}" of the caller's vendor; a full name stays as it is.

    Raises:
        PalaestraError: INVALID_FIELD if the caller has no vendor of its own, as operators.
    """
    return _own(name, identity, "reservation", "reservations")


def api_key(name: str, identity: GetIdentityResponse) -> str:
    """Return "{vendor or venue}/apiKeys/{name}" of the caller's own; a full name stays as it is."""
    return f"{identity.vendor or identity.venue}/apiKeys/{name}" if is_short(name) else name


def closure(name: str, identity: GetIdentityResponse) -> str:
    """Return "venues/{venue}/closures/{name}"; a full name stays as it is."""
    return f"{identity.venue}/closures/{name}" if is_short(name) else name


def complete_claim(claim: Claim, identity: GetIdentityResponse) -> None:
    """Give full names to the units and the cell that a claim names, in place."""
    for request in claim.units:
        if request.selector.unit:
            request.selector.unit = unit(request.selector.unit, identity)
    if claim.cell.cell:
        claim.cell.cell = cell(claim.cell.cell, identity)


def complete_closure(spec: Closure, identity: GetIdentityResponse) -> Closure:
    """Return a copy of a closure with full names for the units and cells that it names."""
    completed = Closure()
    completed.CopyFrom(spec)
    completed.units[:] = [unit(name, identity) for name in spec.units]
    completed.cells[:] = [cell(name, identity) for name in spec.cells]
    return completed


def complete(spec: Job, identity: GetIdentityResponse) -> Job:
    """Return a copy of a job with full names for the units, cell, jobs and reservation that it names."""
    completed = Job()
    completed.CopyFrom(spec)
    for claim in (completed.claim, *completed.claim.alternatives):
        complete_claim(claim, identity)
    completed.after[:] = [job(name, identity) for name in completed.after]
    if completed.reservation:
        completed.reservation = reservation(completed.reservation, identity)
    if completed.collect.policy_job:
        completed.collect.policy_job = job(completed.collect.policy_job, identity)
    if completed.evaluate.policy_job:
        completed.evaluate.policy_job = job(completed.evaluate.policy_job, identity)
    return completed


def parent(identity: GetIdentityResponse) -> str:
    """Return the collection to list: the caller's vendor, or every vendor for those without one."""
    return identity.vendor or "vendors/-"


def _own(name: str, identity: GetIdentityResponse, what: str, collection: str) -> str:
    if not is_short(name):
        return name
    if not identity.vendor:
        raise PalaestraError(
            "INVALID_FIELD",
            f"{what} {name!r}: without a vendor of one's own it takes the full name, "
            f"vendors/VENDOR/{collection}/{name}",
            metadata={"field": "name"},
        )
    return f"{identity.vendor}/{collection}/{name}"


def last(name: str) -> str:
    """Return the last part of a resource name."""
    return name.rpartition("/")[2]
