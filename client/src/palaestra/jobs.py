"""Builders of jobs. Each returns a `palaestra.v1.job_pb2.Job` for `Client.submit`; durations are in seconds.

What is left out takes the venue's default, which stands beside the field in the contract.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from palaestra.errors import PalaestraError
from palaestra.jobfile import from_table, job_from_toml
from palaestra.v1.claim_pb2 import CellRequest, Claim, EnvironmentLevel, Placement, UnitRequest, UnitSelector
from palaestra.v1.job_pb2 import (
    Actuators,
    Camera,
    CameraPicture,
    CollectSpec,
    EvaluateSpec,
    Job,
    ServeSpec,
    TrainSpec,
)
from palaestra.v1.worlds_pb2 import RandomisationTerm, ServedPolicy, WorldPace, WorldSensor

__all__ = ["cell", "claim", "collect", "evaluate", "job_from_toml", "serve", "train", "unit"]

Table = Mapping[str, Any]
"""A part of a job as it stands in a job's file: fields under their own names, durations as numbers in `*_s`."""

_LEVELS = ("fixed", "structured", "open", "dynamic")
_PLACEMENTS = ("anywhere", "together", "apart")
_ACTUATORS = ("physical", "ideal")
_PICTURES = ("rgb", "depth", "ray_depth")


def unit(
    *,
    robot_class: str = "",
    maker: str = "",
    robot_model: str = "",
    name: str = "",
    labels: Mapping[str, str] | None = None,
    joint_count_min: int = 0,
    payload_min_kg: float = 0.0,
    end_effector: str = "",
    sensors: Iterable[str] = (),
    firmware: str = "",
    count: int = 1,
    count_max: int = 0,
) -> UnitRequest:
    """Return a request for `count` units that match everything given; with nothing given, any units.

    Args:
        robot_class: Such as "humanoid", "quadruped" or "arm".
        maker: The maker's name as the venue lists it.
        robot_model: Identifier in the robot catalogue.
        name: One unit's name, "venues/*/units/*" or its last part.
        labels: Labels that the unit must carry.
        joint_count_min: Least number of joints (degrees of freedom).
        payload_min_kg: Least payload [kg].
        end_effector, firmware: As the venue calls them.
        sensors: Sensors that the unit must all have.
        count: Number of units, at least 1.
        count_max: If more than `count`: as many as can be had, up to this many.
    """
    selector = UnitSelector(
        robot_class=robot_class,
        maker=maker,
        robot_model=robot_model,
        unit=name,
        labels=labels or {},
        joint_count_min=joint_count_min,
        payload_min_kg=payload_min_kg,
        end_effector=end_effector,
        sensors=sensors,
        firmware=firmware,
    )
    return UnitRequest(selector=selector, count=count, count_max=count_max)


def cell(*, name: str = "", scenario: str = "", level: str = "") -> CellRequest:
    """Return a request for a cell that matches everything given.

    Args:
        name: One cell's name, "venues/*/cells/*" or its last part.
        scenario: The scenario it is fitted for.
        level: "fixed", "structured", "open" or "dynamic" (L1 to L4).

    Raises:
        PalaestraError: INVALID_FIELD for another level.
    """
    if level and level not in _LEVELS:
        raise PalaestraError("INVALID_FIELD", f"level {level!r} is none of {', '.join(_LEVELS)}")
    number = _LEVELS.index(level) + 1 if level else 0
    return CellRequest(cell=name, scenario=scenario, level=EnvironmentLevel.Name(number))


def claim(
    *,
    units: Iterable[UnitRequest] = (),
    sim_slots: int = 0,
    cell: CellRequest | None = None,
    duration_s: float = 600.0,
    seats: int = 0,
    chargers: int = 0,
    placement: str = "",
    alternatives: Iterable[Claim] = (),
) -> Claim:
    """Return a claim: all that a job needs at one time. `collect` takes some as `alternatives` to its own.

    Args:
        units: From `unit`.
        sim_slots: Slots to run in.
        cell: From `cell`.
        duration_s: Longest time the job holds it [s].
        seats: Operators who watch or teleoperate.
        chargers: Chargers held beside the units.
        placement: "anywhere", "together" (all units in one zone) or "apart" (each in a zone of its own).
        alternatives: Claims that would do as well, in order of preference; without alternatives of their own.

    Raises:
        PalaestraError: INVALID_FIELD for another placement.
    """
    if placement and placement not in _PLACEMENTS:
        raise PalaestraError("INVALID_FIELD", f"placement {placement!r} is none of {', '.join(_PLACEMENTS)}")
    number = _PLACEMENTS.index(placement) + 1 if placement else 0
    return Claim(
        units=units,
        sim_slots=sim_slots,
        cell=cell,
        duration=_duration(duration_s),
        seats=seats,
        chargers=chargers,
        placement=Placement.Name(number),
        alternatives=alternatives,
    )


def camera(
    name: str,
    *,
    picture: str = "",
    width_px: int = 0,
    height_px: int = 0,
    rate_hz: float = 0.0,
    model_camera: str = "",
    body: str = "",
    position_m: Iterable[float] = (),
    yaw_rad: float = 0.0,
    pitch_rad: float = 0.0,
    field_of_view_rad: float = 0.0,
) -> Camera:
    """Return a camera on simulated worlds.

    Args:
        name: Each once in a job: small letters, digits, underscores.
        picture: "rgb" (the default), "depth", or "ray_depth", which needs no OpenGL.
        width_px, height_px: Even numbers; 320 by 240 by default.
        rate_hz: Frames per second of simulated time; 25 by default.
        model_camera: A camera of the robot's model.
        body: Or the body that carries it: its name, "base" or "world". Without either the camera follows the robot.
        position_m: Where in the body's frame: x, y, z.
        yaw_rad, pitch_rad: Where it looks: 0, 0 is along the body's x axis; positive pitch looks down.
        field_of_view_rad: From the top to the bottom of the picture; by default the model camera's, or 45 degrees.

    Raises:
        PalaestraError: INVALID_FIELD for another kind of picture.
    """
    if picture and picture not in _PICTURES:
        raise PalaestraError("INVALID_FIELD", f"picture {picture!r} is none of {', '.join(_PICTURES)}")
    return Camera(
        name=name,
        picture=CameraPicture.Name(_PICTURES.index(picture) + 1 if picture else 0),
        width_px=width_px,
        height_px=height_px,
        rate_hz=rate_hz,
        model_camera=model_camera,
        body=body,
        position_m=position_m,
        yaw_rad=yaw_rad,
        pitch_rad=pitch_rad,
        field_of_view_rad=field_of_view_rad,
    )


def collect(
    *,
    motion: str = "",
    policy_job: str = "",
    policy: Table | None = None,
    policy_task: str = "",
    scenario: str = "",
    level: int = 0,
    script: str = "",
    randomisation: Iterable[Table] = (),
    sensors: Iterable[Table] = (),
    episodes: int = 0,
    episode_s: float = 0.0,
    task: str = "",
    units: Iterable[UnitRequest] = (),
    sim_slots: int | None = None,
    robot_model: str = "",
    worlds: int = 0,
    actuators: str = "",
    cameras: Iterable[Camera] = (),
    cell: CellRequest | None = None,
    duration_s: float = 600.0,
    seats: int = 0,
    chargers: int = 0,
    placement: str = "",
    alternatives: Iterable[Claim] = (),
    seed: int = 0,
    display_name: str = "",
    priority: int = 0,
    max_attempts: int = 0,
    labels: Mapping[str, str] | None = None,
    deadline: datetime | None = None,
    after: Iterable[str] = (),
    sim_first: bool = False,
    reservation: str = "",
) -> Job:
    """Return a job that drives units, or worlds if no units are given, and records every episode.

    Args:
        motion: A motion of the venue's catalogue; or else
        policy_job: name of a training job whose policy drives, or its last part; or else
        policy: a policy that is served elsewhere, such as {"openpi": "ws://127.0.0.1:8000", "chunk_steps": 8},
            with `policy_task`: the task that it was trained for. Worlds wait for its answers, units hold meanwhile.
        scenario: Instead of a task, for worlds: a scenario, such as "rescue/rescue-stairs", at
        level: 1 to 4, by default 1, driven by a served policy or by its own
        script: "pass", "fail" or "idle".
        randomisation: What differs from episode to episode, for worlds: tables such as
            {"quantity": "mass_scale", "uniform": {"low": 0.8, "high": 1.2}, "of": ["trunk"]}.
        sensors: What is read and recorded, for worlds: tables such as
            {"name": "imu", "imu": {"gyro": {"noise": 0.01}}}.
        episodes: Episodes for each unit or world.
        episode_s: Length of an episode [s].
        task: What the robot does, in words.
        units: From `unit`.
        sim_slots: Slots for the worlds. Default: one if there are no units, else none.
        robot_model, worlds: What to simulate and how often, for worlds.
        actuators: "physical" (friction, play and heat) or "ideal", for worlds.
        cameras: From `camera`: what looks at each world, recorded with its episodes.
        cell: From `cell`.
        duration_s: Longest time the job holds its claim [s].
        seats, chargers, placement, alternatives: As for `claim`.
        seed: Seed of all chance in it.
        display_name, priority, max_attempts, labels: As in the contract.
        deadline: When it would best be done: orders the vendor's jobs within a priority. With a time zone.
        after: Names, or their last parts, of jobs that must have succeeded first.
        sim_first: Reach units only after the same work has passed in simulation.
        reservation: Name, or its last part, of the reservation to run in.

    Raises:
        PalaestraError: INVALID_FIELD unless exactly one of motion, policy_job, policy and script is given, for another
            placement or other actuators, a table with another field, and for a deadline without time zone.
    """
    sources = {"motion": motion, "policy_job": policy_job, "policy": policy, "script": script}
    given = [f"{name} = {value!r}" for name, value in sources.items() if value]
    if len(given) != 1:
        raise PalaestraError(
            "INVALID_FIELD",
            "collect takes a motion, a policy_job or a policy, or a script of a scenario: "
            f"got {' and '.join(given) or 'none'}",
        )
    units = list(units)
    if sim_slots is None:
        sim_slots = 0 if units else 1
    spec = CollectSpec(
        episodes=episodes,
        episode_duration=_duration(episode_s) if episode_s else None,
        task=task,
        seed=seed,
        robot_model=robot_model,
        worlds=worlds,
        actuators=_actuators(actuators),
        policy_task=policy_task,
        scenario=scenario,
        level=level,
        randomisation=_terms(randomisation),
        sensors=_sensors(sensors),
        cameras=cameras,
    )
    if motion:
        spec.motion = motion
    elif policy_job:
        spec.policy_job = policy_job
    elif script:
        spec.script = script
    else:
        spec.policy.CopyFrom(from_table(ServedPolicy, policy or {}, "policy"))
    wanted = claim(
        units=units,
        sim_slots=sim_slots,
        cell=cell,
        duration_s=duration_s,
        seats=seats,
        chargers=chargers,
        placement=placement,
        alternatives=alternatives,
    )
    return Job(
        display_name=display_name,
        claim=wanted,
        priority=priority,
        labels=labels or {},
        max_attempts=max_attempts,
        deadline=_timestamp(deadline),
        after=after,
        sim_first=sim_first,
        reservation=reservation,
        collect=spec,
    )


def train(
    task: str,
    robot_model: str,
    *,
    sim_slots: int = 1,
    iterations: int = 0,
    directions: int = 0,
    actuators: str = "",
    randomisation: Iterable[Table] = (),
    duration_s: float = 3600.0,
    seed: int = 0,
    display_name: str = "",
    priority: int = 0,
    max_attempts: int = 0,
    labels: Mapping[str, str] | None = None,
    deadline: datetime | None = None,
    after: Iterable[str] = (),
    reservation: str = "",
) -> Job:
    """Return a job that improves a policy for a task in simulation.

    Args:
        task: A task of the venue's catalogue.
        robot_model: Identifier in the robot catalogue.
        sim_slots: Slots to run in.
        iterations: Steps of the search.
        directions: Random directions tried in each step.
        actuators: "physical" (friction, play and heat) or "ideal".
        randomisation: As for `collect`.
        duration_s: Longest time the job holds its claim [s].
        seed: Seed of all chance in it.
        display_name, priority, max_attempts, labels: As in the contract.
        deadline, after, reservation: As for `collect`.

    Raises:
        PalaestraError: INVALID_FIELD for other actuators, and for a deadline without time zone.
    """
    return Job(
        display_name=display_name,
        claim=Claim(sim_slots=sim_slots, duration=_duration(duration_s)),
        priority=priority,
        labels=labels or {},
        max_attempts=max_attempts,
        deadline=_timestamp(deadline),
        after=after,
        reservation=reservation,
        train=TrainSpec(
            task=task,
            robot_model=robot_model,
            iterations=iterations,
            directions=directions,
            seed=seed,
            actuators=_actuators(actuators),
            randomisation=_terms(randomisation),
        ),
    )


def evaluate(
    task: str,
    robot_model: str,
    *,
    policy_job: str = "",
    policy: Table | None = None,
    scenario: str = "",
    level: int = 0,
    script: str = "",
    randomisation: Iterable[Table] = (),
    sensors: Iterable[Table] = (),
    episodes: int = 0,
    actuators: str = "",
    sim_slots: int = 1,
    duration_s: float = 600.0,
    seed: int = 0,
    display_name: str = "",
    priority: int = 0,
    max_attempts: int = 0,
    labels: Mapping[str, str] | None = None,
    deadline: datetime | None = None,
    after: Iterable[str] = (),
    reservation: str = "",
) -> Job:
    """Return a job that runs a policy over seeded episodes and reports how often it succeeds.

    Args:
        task: A task of the venue's catalogue; empty for a scenario.
        robot_model: Identifier in the robot catalogue.
        scenario, level, script: Instead of a task, as for `collect`.
        policy_job: Name of a training job; without one, the policy that does nothing, as a baseline; or else
        policy: a policy that is served elsewhere, as for `collect`.
        randomisation, sensors: As for `collect`.
        episodes: How many.
        actuators: "physical" (friction, play and heat) or "ideal".
        sim_slots: Slots to run in.
        duration_s: Longest time the job holds its claim [s].
        seed: Seed of the first episode.
        display_name, priority, max_attempts, labels: As in the contract.
        deadline, after, reservation: As for `collect`.

    Raises:
        PalaestraError: INVALID_FIELD for other actuators, and for a deadline without time zone.
    """
    return Job(
        display_name=display_name,
        claim=Claim(sim_slots=sim_slots, duration=_duration(duration_s)),
        priority=priority,
        labels=labels or {},
        max_attempts=max_attempts,
        deadline=_timestamp(deadline),
        after=after,
        reservation=reservation,
        evaluate=EvaluateSpec(
            task=task,
            scenario=scenario,
            level=level,
            script=script,
            robot_model=robot_model,
            policy_job=policy_job,
            episodes=episodes,
            seed=seed,
            actuators=_actuators(actuators),
            policy=None if policy is None else from_table(ServedPolicy, policy, "policy"),
            randomisation=_terms(randomisation),
            sensors=_sensors(sensors),
        ),
    )


def serve(
    robot_model: str,
    *,
    task: str = "",
    motion: str = "",
    worlds: int = 0,
    sim_slots: int = 1,
    seed: int = 0,
    actuators: str = "",
    episode_s: float = 0.0,
    idle_s: float = 0.0,
    pace: Table | None = None,
    randomisation: Iterable[Table] = (),
    sensors: Iterable[Table] = (),
    duration_s: float = 600.0,
    display_name: str = "",
    priority: int = 0,
    max_attempts: int = 0,
    labels: Mapping[str, str] | None = None,
    deadline: datetime | None = None,
    after: Iterable[str] = (),
    reservation: str = "",
) -> Job:
    """Return a job that leaves worlds to a program of the vendor elsewhere; `Client.slots` is that program's end.

    Args:
        robot_model: Identifier in the robot catalogue.
        task, motion: A task, or a motion, of the venue's catalogue: exactly one of them.
        worlds: How many.
        sim_slots: Slots to run in.
        seed: Seed of all chance in them.
        actuators: "physical" (friction, play and heat) or "ideal".
        episode_s: With a motion: length of an episode [s].
        idle_s: How long the worlds wait for somebody to drive them before the job fails [s].
        pace: How their time goes along with the clock's, such as {"mode": "real_time", "rate": 1.0}.
        randomisation, sensors: As for `collect`.
        duration_s: Longest time the job holds its claim [s].
        display_name, priority, max_attempts, labels: As in the contract.
        deadline, after, reservation: As for `collect`.

    Raises:
        PalaestraError: INVALID_FIELD unless exactly one of task and motion is given, and as `collect`.
    """
    if bool(task) == bool(motion):
        raise PalaestraError("INVALID_FIELD", f"serve takes a task or a motion: got {task!r} and {motion!r}")
    spec = ServeSpec(
        robot_model=robot_model,
        worlds=worlds,
        seed=seed,
        actuators=_actuators(actuators),
        episode_duration=_duration(episode_s) if episode_s else None,
        idle_timeout=_duration(idle_s) if idle_s else None,
        pace=None if pace is None else from_table(WorldPace, pace, "pace"),
        randomisation=_terms(randomisation),
        sensors=_sensors(sensors),
    )
    if task:
        spec.task = task
    else:
        spec.motion = motion
    return Job(
        display_name=display_name,
        claim=Claim(sim_slots=sim_slots, duration=_duration(duration_s)),
        priority=priority,
        labels=labels or {},
        max_attempts=max_attempts,
        deadline=_timestamp(deadline),
        after=after,
        reservation=reservation,
        serve=spec,
    )


def _terms(tables: Iterable[Table]) -> list[RandomisationTerm]:
    return [from_table(RandomisationTerm, table, f"randomisation[{i}]") for i, table in enumerate(tables)]


def _sensors(tables: Iterable[Table]) -> list[WorldSensor]:
    return [from_table(WorldSensor, table, f"sensors[{i}]") for i, table in enumerate(tables)]


def _actuators(actuators: str) -> str:
    if actuators and actuators not in _ACTUATORS:
        raise PalaestraError("INVALID_FIELD", f"actuators {actuators!r} are none of {', '.join(_ACTUATORS)}")
    return Actuators.Name(_ACTUATORS.index(actuators) + 1 if actuators else 0)


def _timestamp(time: datetime | None) -> Timestamp | None:
    if time is None:
        return None
    if time.tzinfo is None:
        raise PalaestraError("INVALID_FIELD", f"deadline {time.isoformat()} has no time zone")
    stamp = Timestamp()
    stamp.FromDatetime(time.astimezone(UTC))
    return stamp


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration
