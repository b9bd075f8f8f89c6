"""What a job asks of its worlds, from the contract's messages to what `sim` reads: plain tables."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from palaestra.v1 import job_pb2, worlds_pb2
from sim.slot_process import Pace

Table = dict[str, Any]
_DURATION = "google.protobuf.Duration"
_MODES = {
    worlds_pb2.WorldPace.MODE_UNSPECIFIED: "asap",
    worlds_pb2.WorldPace.MODE_LOCKSTEP: "lockstep",
    worlds_pb2.WorldPace.MODE_REAL_TIME: "real_time",
}


@dataclass(frozen=True)
class Scene:
    """What is asked of worlds beside robot and task.

    Attributes:
        actuators: What drives the joints.
        randomisation: As `sim.randomisation.Randomisation.from_table` reads it.
        sensors: As `sim.sensors.from_tables` reads it.
        pace: How their time goes along with the clock's.
    """

    actuators: job_pb2.Actuators = job_pb2.ACTUATORS_UNSPECIFIED
    randomisation: tuple[Table, ...] = ()
    sensors: tuple[Table, ...] = ()
    pace: Pace = field(default_factory=Pace)


@dataclass(frozen=True)
class Trials:
    """Which scenario's trials a job runs in its worlds.

    Attributes:
        scenario: Sector and id, or id.
        level: 1 to 4.
        script: The scripted policy; empty: another policy drives.
    """

    scenario: str
    level: int
    script: str


def trials_of(spec: job_pb2.CollectSpec | job_pb2.EvaluateSpec) -> Trials | None:
    """Return the trials that a job asks for, None where it names no scenario."""
    return Trials(spec.scenario, spec.level or 1, spec.script) if spec.scenario else None


def scene_of(
    spec: job_pb2.CollectSpec | job_pb2.TrainSpec | job_pb2.EvaluateSpec | job_pb2.ServeSpec,
) -> Scene:
    """Return what a job's work asks of its worlds. A pace of a newer contract raises KeyError."""
    return Scene(
        spec.actuators,
        randomisation_of(spec.randomisation),
        () if isinstance(spec, job_pb2.TrainSpec) else sensors_of(spec.sensors),
        pace_of(spec.pace) if isinstance(spec, job_pb2.ServeSpec) else Pace(),
    )


def randomisation_of(terms: Iterable[worlds_pb2.RandomisationTerm]) -> tuple[Table, ...]:
    """Return terms as tables; what the sender left out is left out."""
    return tuple(
        {
            "quantity": term.quantity,
            "of": list(term.of) or ["*"],
            "each": term.each,
            "distribution": term.WhichOneof("distribution") or "",
            **_given(getattr(term, term.WhichOneof("distribution") or "uniform")),
        }
        for term in terms
    )


def sensors_of(sensors: Iterable[worlds_pb2.WorldSensor]) -> tuple[Table, ...]:
    """Return sensors as tables; what the sender left out is left out."""
    return tuple(
        {
            "kind": sensor.WhichOneof("kind") or "",
            "name": sensor.name,
            **_given(getattr(sensor, sensor.WhichOneof("kind") or "encoders")),
        }
        for sensor in sensors
    )


def pace_of(pace: worlds_pb2.WorldPace) -> Pace:
    """Return a pace. An unknown mode raises KeyError."""
    return Pace(_MODES[pace.mode], pace.rate or 1.0)  # type: ignore[arg-type]


def _given(message: Message) -> Table:
    """Return the fields that are set, under their own names; a duration under its name and unit, `delay_s`."""
    table: Table = {}
    for each, value in message.ListFields():
        if each.message_type is not None and each.message_type.full_name == _DURATION:
            table[f"{each.name}_s"] = value.ToNanoseconds() / 1e9
        elif each.type == FieldDescriptor.TYPE_MESSAGE:
            table[each.name] = _given(value)
        else:
            table[each.name] = list(value) if each.is_repeated else value
    return table
