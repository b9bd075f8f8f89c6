"""What a job may ask of its worlds: what differs from episode to episode, what is read, and who drives them.

Pure functions on the contract's messages and on what runners say they know. The runner looks again when it builds the
worlds; here a slip of the pen is refused at once, with the name that was meant.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase

from google.protobuf.message import Message

from palaestra import policy_address
from palaestra.v1 import job_pb2, runner_service_pb2, worlds_pb2

NAMES_SHOWN = 12
RAYS_MAX = 16_384
LOG_RANGE_MAX = 2.0**64
_SCOPES = {"body": "bodies", "geom": "shapes", "joint": "joints"}
_WORDS = {"body": "body", "geom": "shape", "joint": "joint"}
Problem = tuple[str, str]
"""A field's path and what is wrong with it."""


@dataclass(frozen=True)
class Quantity:
    """Something that can be randomised: what it is of, its least value, the only actuators it means anything for."""

    on: str
    least: float | None = None
    actuators: str = ""


@dataclass(frozen=True)
class Vocabulary:
    """The names that runners know. Empty: nobody has said yet, so nothing is refused.

    Attributes:
        quantities: By name.
        robots: By model: its names of "bodies", "shapes" and "joints".
        policy_servers: Where served policies are called; None: nobody has said.
    """

    quantities: Mapping[str, Quantity] = field(default_factory=dict)
    robots: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    policy_servers: frozenset[str] | None = None


def vocabulary_of(request: runner_service_pb2.WatchAssignmentsRequest) -> Vocabulary:
    """Return what a runner says it knows."""
    return Vocabulary(
        {
            each.quantity: Quantity(each.on, each.least if each.HasField("least") else None, each.actuators)
            for each in request.quantities
        },
        {
            each.robot_model: {
                "bodies": tuple(each.bodies),
                "shapes": tuple(each.shapes),
                "joints": tuple(each.joints),
            }
            for each in request.robots
        },
        # A runner of before says nothing at all of worlds.
        frozenset(request.policy_servers) if request.quantities else None,
    )


def together(known: Iterable[Vocabulary]) -> Vocabulary:
    """Return what several runners know between them."""
    quantities: dict[str, Quantity] = {}
    robots: dict[str, Mapping[str, Sequence[str]]] = {}
    servers: frozenset[str] | None = None
    for each in known:
        quantities |= each.quantities
        robots |= each.robots
        if each.policy_servers is not None:
            servers = (servers or frozenset()) | each.policy_servers
    return Vocabulary(quantities, robots, servers)


def problem(job: job_pb2.Job, known: Vocabulary) -> Problem | None:
    """Return the first thing that no worlds could be had with, None if there is none."""
    return next(_problems(job, known), None)


def refused_server(job: job_pb2.Job, known: Vocabulary) -> Problem | None:
    """Return why no runner calls the served policy that a job names, None if one does."""
    kind = job.WhichOneof("work")
    if kind not in ("collect", "evaluate") or not getattr(job, kind).HasField("policy"):
        return None
    address = getattr(job, kind).policy.openpi
    if known.policy_servers is None or policy_address.is_allowed(address, known.policy_servers):
        return None
    shown = ", ".join(sorted(known.policy_servers)) or "none"
    return f"job.{kind}.policy.openpi", f"{address} is none of those that this venue's runner calls: {shown}"


def _problems(job: job_pb2.Job, known: Vocabulary) -> Iterator[Problem]:
    kind = job.WhichOneof("work") or ""
    work = getattr(job, kind, None)
    path = f"job.{kind}"
    terms = getattr(work, "randomisation", ())
    sensors = getattr(work, "sensors", ())
    if kind == "collect" and any(claim.units for claim in (job.claim, *job.claim.alternatives)):
        for name, asked in (("randomisation", terms), ("sensors", sensors)):
            if asked:
                yield f"{path}.{name}", "is for worlds, and the claim has units"
    if kind in ("collect", "evaluate") and work.HasField("policy"):  # type: ignore[union-attr]
        yield from _served(job, kind, path)
    names = known.robots.get(getattr(work, "robot_model", ""))
    actuators = getattr(work, "actuators", job_pb2.ACTUATORS_UNSPECIFIED)
    for index, term in enumerate(terms):
        yield from _term(term, f"{path}.randomisation[{index}]", known, names, actuators)
    yield from _twice(
        [_name_of(term) for term in terms], f"{path}.randomisation", "terms of the same quantity and names"
    )
    for index, sensor in enumerate(sensors):
        yield from _sensor(sensor, f"{path}.sensors[{index}]", names)
    yield from _twice([sensor.name for sensor in sensors], f"{path}.sensors", "sensors of the same name")


def _served(job: job_pb2.Job, kind: str, path: str) -> Iterator[Problem]:
    work = getattr(job, kind)
    if not work.policy.openpi:
        yield f"{path}.policy", "one of openpi must be set"
        return
    try:
        policy_address.end_of(work.policy.openpi)
    except ValueError as error:
        yield f"{path}.policy.openpi", str(error)
    if kind == "collect" and not (work.policy_task or work.scenario):
        yield f"{path}.policy_task", "is required with a served policy: the task that it was trained for"
    if kind == "evaluate" and work.policy_job:
        yield f"{path}.policy", "cannot stand beside policy_job, only one of them"


def _term(
    term: worlds_pb2.RandomisationTerm,
    path: str,
    known: Vocabulary,
    names: Mapping[str, Sequence[str]] | None,
    actuators: job_pb2.Actuators,
) -> Iterator[Problem]:
    kind = known.quantities.get(term.quantity)
    if known.quantities and kind is None:
        yield f"{path}.quantity", f"no quantity {term.quantity!r}{_meant(term.quantity, known.quantities)}"
    shape = term.WhichOneof("distribution")
    if shape is None:
        yield path, f"{term.quantity}: one of uniform, log_uniform, normal must be set"
        return
    yield from _distribution(getattr(term, shape), shape, f"{path}.{shape}", term.quantity, kind)
    if kind is None:
        return
    ideal = actuators == job_pb2.ACTUATORS_IDEAL
    if kind.actuators and (kind.actuators == "ideal") != ideal:
        yield f"{path}.quantity", f"{term.quantity} needs {kind.actuators} actuators"
    if names is not None and kind.on in _SCOPES:
        # The world's own body has no mass.
        there = [name for name in names[_SCOPES[kind.on]] if (kind.on, name) != ("body", "world")]
        for index, pattern in enumerate(term.of):
            if not any(fnmatchcase(name, pattern) for name in (*there, "")):
                yield f"{path}.of[{index}]", f"no {_WORDS[kind.on]} is called {pattern!r}{_meant(pattern, there)}"


def _distribution(numbers: Message, shape: str, path: str, quantity: str, kind: Quantity | None) -> Iterator[Problem]:
    values: dict[str, float] = {}
    for one in numbers.DESCRIPTOR.fields:
        if not numbers.HasField(one.name):
            yield f"{path}.{one.name}", f"{quantity}: must be set"
            return
        values[one.name] = getattr(numbers, one.name)
    low, high = values["low"], values["high"]
    if low > high:
        yield f"{path}.low", f"{quantity}: {low:g} is above high, {high:g}"
    elif shape == "log_uniform" and low <= 0.0:
        yield f"{path}.low", f"{quantity}: {low:g} must be above 0"
    elif shape == "log_uniform" and high / low > LOG_RANGE_MAX:
        yield f"{path}.high", f"{quantity}: {high:g} is more than 2^64 times low, {low:g}"
    if kind is not None and kind.least is not None and low < kind.least:
        yield f"{path}.low", f"{quantity}: {low:g} is below {kind.least:g}, the least that is possible"


def _sensor(sensor: worlds_pb2.WorldSensor, path: str, names: Mapping[str, Sequence[str]] | None) -> Iterator[Problem]:
    kind = sensor.WhichOneof("kind")
    if kind is None:
        kinds = ", ".join(one.name for one in sensor.DESCRIPTOR.oneofs_by_name["kind"].fields)
        yield path, f"{sensor.name}: one of {kinds} must be set"
        return
    made, path = getattr(sensor, kind), f"{path}.{kind}"
    body = getattr(made, "body", "")
    if body and names is not None and body not in names["bodies"]:
        yield f"{path}.body", f"sensor {sensor.name!r}: no body {body!r}{_meant(body, names['bodies'])}"
    if len(getattr(made, "at_m", ())) not in (0, 3):
        yield f"{path}.at_m", f"sensor {sensor.name!r}: has {len(made.at_m)} numbers, must be x y z"
    if kind == "depth" and (made.width_px or 16) * (made.height_px or 12) > RAYS_MAX:
        rays = (made.width_px or 16) * (made.height_px or 12)
        yield f"{path}.width_px", f"sensor {sensor.name!r}: {rays} rays, at most {RAYS_MAX}"


def _name_of(term: worlds_pb2.RandomisationTerm) -> str:
    return f"{term.quantity}({','.join(term.of) or '*'})"


def _twice(names: Sequence[str], path: str, what: str) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            yield f"{path}[{index}]", f"{what}: {name}"
        seen.add(name)


def _meant(name: str, known: Iterable[str]) -> str:
    there = list(known)
    close = get_close_matches(name, there, n=3, cutoff=0.6)
    if close:
        return f"; did you mean {' or '.join(close)}?"
    more = f" and {len(there) - NAMES_SHOWN} more" if len(there) > NAMES_SHOWN else ""
    return f"; there are {', '.join(there[:NAMES_SHOWN])}{more}"
