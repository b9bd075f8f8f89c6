"""Turns explanations and forecasts into the contract's messages."""

from collections.abc import Iterable

from google.protobuf.duration_pb2 import Duration

from palaestra.v1 import claim_pb2, estimate_pb2, job_service_pb2
from scheduler import names, resources
from scheduler.calibration import Calibration
from scheduler.explain import Reason
from scheduler.forecast import Forecast
from scheduler.snapshot.queue import PLACEMENTS
from scheduler.state import Claim, UnitRequest

_PLACEMENTS = {placement: number for number, placement in PLACEMENTS.items()}


def reasons(found: Iterable[Reason]) -> list[job_service_pb2.WaitReason]:
    """Return reasons as they are told."""
    return [
        job_service_pb2.WaitReason(
            constraint=reason.constraint,
            message=reason.message,
            requested=reason.requested,
            matching=reason.matching,
            free=reason.free,
            fix=reason.fix,
        )
        for reason in found
    ]


def start(venue: str, told: Forecast, held: Calibration, not_before_ns: int = 0) -> estimate_pb2.StartEstimate | None:
    """Return when a job starts, None if nothing is known. not_before_ns: The job is not looked at before."""
    expected = told.expectation
    if expected is None:
        return None

    def at(time_ns: int | None) -> int | None:
        return None if time_ns is None else max(time_ns, not_before_ns)

    return estimate_pb2.StartEstimate(
        planned_time=resources.timestamp(at(expected.planned_ns)),
        p50_time=resources.timestamp(at(expected.p50_ns)),
        p90_time=resources.timestamp(at(expected.p90_ns)),
        calibration=calibration(held),
        counterfactuals=[
            estimate_pb2.Counterfactual(
                change=one.change, start_time=resources.timestamp(at(one.start_ns)), claim=claim(venue, one.claim)
            )
            for one in told.counterfactuals
        ],
    )


def calibration(held: Calibration) -> estimate_pb2.EstimateCalibration:
    """Return how well told starts held."""
    return estimate_pb2.EstimateCalibration(
        jobs=held.jobs,
        p50_held=held.p50_held,
        p90_held=held.p90_held,
        p50_pinball_s=held.p50_pinball_s,
        p90_pinball_s=held.p90_pinball_s,
    )


def claim(venue: str, value: Claim) -> claim_pb2.Claim:
    """Return the message that `snapshot.claim_of` reads as this claim."""
    message = claim_pb2.Claim(
        units=[_units(venue, request) for request in value.units],
        sim_slots=value.sim_slots,
        duration=_duration(value.duration_s),
        seats=value.seats,
        chargers=value.chargers,
        placement=_PLACEMENTS.get(value.placement, claim_pb2.PLACEMENT_UNSPECIFIED),
        alternatives=[claim(venue, alternative) for alternative in value.alternatives],
    )
    if value.cell is not None:
        message.cell.cell = names.cell(venue, value.cell.cell) if value.cell.cell else ""
        message.cell.scenario = value.cell.scenario
        message.cell.level = value.cell.level  # type: ignore[assignment]
        message.cell.SetInParent()
    return message


def _units(venue: str, request: UnitRequest) -> claim_pb2.UnitRequest:
    return claim_pb2.UnitRequest(
        selector=claim_pb2.UnitSelector(
            robot_class=request.robot_class,
            maker=request.maker,
            robot_model=request.robot_model,
            unit=names.unit(venue, request.unit) if request.unit else "",
            labels=dict(request.labels),
            joint_count_min=request.joints_min,
            payload_min_kg=request.payload_min_kg,
            end_effector=request.end_effector,
            sensors=request.sensors,
            firmware=request.firmware,
        ),
        count=request.count,
        count_max=request.count_max,
    )


def _duration(seconds: float) -> Duration:
    nanos = round(seconds * 1e9)
    return Duration(seconds=nanos // 1_000_000_000, nanos=nanos % 1_000_000_000)
