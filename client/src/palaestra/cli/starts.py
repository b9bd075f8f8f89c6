"""When jobs start, in words, and why they do not yet."""

from collections.abc import Iterable, Iterator
from datetime import UTC

from google.protobuf.timestamp_pb2 import Timestamp

from palaestra.cli.output import print_table
from palaestra.cli.text import seconds
from palaestra.cli.times import local
from palaestra.v1.estimate_pb2 import EstimateCalibration, StartEstimate
from palaestra.v1.job_service_pb2 import WaitReason

_UNKNOWN = "not known"


def facts(start: StartEstimate) -> Iterator[tuple[str, str]]:
    """Yield when a job starts, in local time; nothing if nothing is known."""
    if not start.HasField("planned_time") and not start.HasField("p50_time"):
        return
    planned = _time(start.planned_time) if start.HasField("planned_time") else _UNKNOWN
    yield "planned", f"{planned}, if everything takes as long as it may"
    for name, odds, time, held in (
        ("p50", "even odds", start.p50_time, start.calibration.p50_held),
        ("p90", "nine in ten", start.p90_time, start.calibration.p90_held),
    ):
        known = start.HasField("p50_time" if name == "p50" else "p90_time")
        told = f"; {held:.0%} of {start.calibration.jobs} held" if start.calibration.jobs else ""
        yield "starts by", f"{_time(time)}, {odds}{told}" if known else f"{_UNKNOWN}, {odds}"


def print_reasons(reasons: Iterable[WaitReason]) -> None:
    """Print what holds a job back, if anything does."""
    rows = [(r.constraint.lower(), str(r.requested), str(r.matching), str(r.free), r.message, r.fix) for r in reasons]
    if rows:
        print_table(("CONSTRAINT", "ASKED", "FIT", "FREE", "WHY", "WHAT HELPS"), rows, empty="")


def print_changes(start: StartEstimate) -> None:
    """Print with which changes it would start sooner, if there are any."""
    rows = [(_time(one.start_time), one.change) for one in start.counterfactuals]
    if rows:
        print_table(("COULD START", "IF IT ASKED"), rows, empty="")


def calibration(found: EstimateCalibration) -> Iterator[tuple[str, str]]:
    """Yield how well told starts held."""
    yield "jobs", str(found.jobs)
    for name, held, loss_s in (
        ("P50", found.p50_held, found.p50_pinball_s),
        ("P90", found.p90_held, found.p90_pinball_s),
    ):
        yield name, f"{held:.1%} started by then, pinball loss {seconds(loss_s)}"


def _time(time: Timestamp) -> str:
    return local(time.ToDatetime(UTC))
