"""What sensors there are: typed descriptions, how they are put into a model, and how they cross as plain tables."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar

import mujoco

from sim.errors import BadSensor

DELAY_MAX_S = 2.0
RAYS_MAX = 16_384
SENSORS_MAX = 16


@dataclass(frozen=True)
class Error:
    """How wrong a reading is, in its own unit. All zeros: exact.

    Attributes:
        noise: Standard deviation of what is drawn anew for each reading.
        bias: Standard deviation of what is drawn once per episode and stays.
        resolution: Readings are whole multiples of it; 0 for none.
        delay_s: How old a reading is when it is given out; rounded to whole policy steps.
    """

    noise: float = 0.0
    bias: float = 0.0
    resolution: float = 0.0
    delay_s: float = 0.0

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if type(value) not in (int, float) or not (math.isfinite(value) and value >= 0.0):
                raise BadSensor(f"{each.name} = {value!r}: a finite number, not negative")
        if self.delay_s > DELAY_MAX_S:
            raise BadSensor(f"delay_s = {self.delay_s!r}: at most {DELAY_MAX_S}")


@dataclass(frozen=True)
class Reading:
    """One signal of a sensor: its name, width, unit and error."""

    name: str
    width: int
    unit: str
    error: Error


@dataclass(frozen=True)
class Sensor:
    """What all sensors have: a name of small letters, digits and underscores."""

    kind: ClassVar[str] = ""
    name: str

    def __post_init__(self) -> None:
        if not re.fullmatch("[a-z][a-z0-9_]{0,31}", self.name):
            raise BadSensor(f"name {self.name!r}: small letters, digits and _, at most 32")

    def readings(self, joints: int) -> tuple[Reading, ...]:
        """Return its signals on a robot with so many joints."""
        raise NotImplementedError

    def furnish(self, spec: mujoco.MjSpec, base: str) -> None:
        """Add to the scene what it needs. Raises BadSensor where its body is not there."""
        return


@dataclass(frozen=True)
class Imu(Sensor):
    """Specific force [m/s^2] and angular velocity [rad/s] in the frame of a body: at rest it reads +g upwards.

    Attributes:
        body: Where it sits; empty for the robot's base.
        at_m: Where in that body's frame.
    """

    kind: ClassVar[str] = "imu"
    body: str = ""
    at_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    accel: Error = field(default_factory=Error)
    gyro: Error = field(default_factory=Error)

    def readings(self, joints: int) -> tuple[Reading, ...]:
        """Return its two signals."""
        return (
            Reading(f"{self.name}.accel", 3, "m/s^2", self.accel),
            Reading(f"{self.name}.gyro", 3, "rad/s", self.gyro),
        )

    def furnish(self, spec: mujoco.MjSpec, base: str) -> None:
        """Add a site and two sensors."""
        _site(spec, self.body or base, _site_name(self), self.at_m, self.name)
        _sense(spec, f"{self.name}.accel", mujoco.mjtSensor.mjSENS_ACCELEROMETER, _site_name(self))
        _sense(spec, f"{self.name}.gyro", mujoco.mjtSensor.mjSENS_GYRO, _site_name(self))


@dataclass(frozen=True)
class Encoders(Sensor):
    """Angles of all joints [rad], on the motors' side of the play."""

    kind: ClassVar[str] = "encoders"
    angle: Error = field(default_factory=Error)

    def readings(self, joints: int) -> tuple[Reading, ...]:
        """Return its signal."""
        return (Reading(f"{self.name}.angle", joints, "rad", self.angle),)


@dataclass(frozen=True)
class ForceTorque(Sensor):
    """Force [N] and torque [N m] with which a body is held by the one that carries it, in its own frame.

    Attributes:
        body: The carried body.
    """

    kind: ClassVar[str] = "force_torque"
    body: str = ""
    force: Error = field(default_factory=Error)
    torque: Error = field(default_factory=Error)

    def readings(self, joints: int) -> tuple[Reading, ...]:
        """Return its two signals."""
        return (
            Reading(f"{self.name}.force", 3, "N", self.force),
            Reading(f"{self.name}.torque", 3, "N m", self.torque),
        )

    def furnish(self, spec: mujoco.MjSpec, base: str) -> None:
        """Add a site and two sensors."""
        _site(spec, self.body, _site_name(self), (0.0, 0.0, 0.0), self.name)
        _sense(spec, f"{self.name}.force", mujoco.mjtSensor.mjSENS_FORCE, _site_name(self))
        _sense(spec, f"{self.name}.torque", mujoco.mjtSensor.mjSENS_TORQUE, _site_name(self))


@dataclass(frozen=True)
class Contact(Sensor):
    """Net contact force [N] that acts on a body, in the world's frame: for what stands on a floor, its weight, upwards.

    Attributes:
        body: The body that is touched.
    """

    kind: ClassVar[str] = "contact"
    body: str = ""
    force: Error = field(default_factory=Error)

    def readings(self, joints: int) -> tuple[Reading, ...]:
        """Return its signal."""
        return (Reading(f"{self.name}.force", 3, "N", self.force),)

    def furnish(self, spec: mujoco.MjSpec, base: str) -> None:
        """Add MuJoCo's contact sensor, reduced to the net force."""
        _body(spec, self.body, self.name)
        sensor = spec.add_sensor(name=f"{self.name}.force")
        sensor.type = mujoco.mjtSensor.mjSENS_CONTACT
        sensor.objtype, sensor.objname = mujoco.mjtObj.mjOBJ_BODY, self.body
        # As the XML's num="1" data="force" reduce="netforce".
        sensor.intprm[:3] = (1 << int(mujoco.mjtConDataField.mjCONDATA_FORCE), 3, 1)


@dataclass(frozen=True)
class Depth(Sensor):
    """Distances [m] along the viewing axis, row by row from the upper left, by rays: no picture is drawn.

    Attributes:
        body: What carries it; empty for the robot's base. What this one body consists of is not seen.
        at_m: Where in that body's frame.
        yaw_rad, pitch_rad: Where it looks: 0, 0 is along the body's x axis; positive pitch looks down.
        width_px, height_px: Rays per row, and rows.
        field_of_view_rad: From the top to the bottom of the picture.
        range_m: What is further is read as this.
    """

    kind: ClassVar[str] = "depth"
    body: str = ""
    at_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    yaw_rad: float = 0.0
    pitch_rad: float = 0.0
    width_px: int = 16
    height_px: int = 12
    field_of_view_rad: float = 0.9
    range_m: float = 10.0
    depth: Error = field(default_factory=Error)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.width_px >= 1 and self.height_px >= 1 and self.width_px * self.height_px <= RAYS_MAX):
            raise BadSensor(f"{self.name}: {self.width_px} x {self.height_px} rays: from 1 to {RAYS_MAX}")
        if not 0.0 < self.field_of_view_rad < math.pi:
            raise BadSensor(f"{self.name}: field_of_view_rad = {self.field_of_view_rad!r}: between 0 and pi")
        if not (math.isfinite(self.range_m) and self.range_m > 0.0):
            raise BadSensor(f"{self.name}: range_m = {self.range_m!r}: above 0")

    def readings(self, joints: int) -> tuple[Reading, ...]:
        """Return its signal."""
        return (Reading(f"{self.name}.depth", self.width_px * self.height_px, "m", self.depth),)

    def furnish(self, spec: mujoco.MjSpec, base: str) -> None:
        """Nothing is added: rays are cast into the scene as it is."""
        _body(spec, self.body or base, self.name)


KINDS: dict[str, type[Sensor]] = {kind.kind: kind for kind in (Imu, Encoders, ForceTorque, Contact, Depth)}


def to_tables(sensors: Iterable[Sensor]) -> tuple[dict[str, Any], ...]:
    """Return plain tables that `from_tables` reads."""
    return tuple({"kind": sensor.kind, **asdict(sensor)} for sensor in sensors)


def from_tables(tables: Sequence[Mapping[str, Any]]) -> tuple[Sensor, ...]:
    """Read sensors from tables as they stand in JSON or TOML. Raises BadSensor with the name of what is wrong."""
    if len(tables) > SENSORS_MAX:
        raise BadSensor(f"{len(tables)} sensors, at most {SENSORS_MAX}")
    sensors = tuple(_from_table(table) for table in tables)
    names = [sensor.name for sensor in sensors]
    if len(set(names)) != len(names):
        raise BadSensor(f"names {names}: each once")
    return sensors


def _from_table(table: Mapping[str, Any]) -> Sensor:
    kind = KINDS.get(str(table.get("kind")))
    if kind is None:
        raise BadSensor(f"kind {table.get('kind')!r}: one of {', '.join(KINDS)}")
    known = {each.name: each for each in fields(kind)}
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key == "kind":
            continue
        if key not in known:
            raise BadSensor(f"{kind.kind}: no field {key!r}; there are {', '.join(known)}")
        try:
            if known[key].type is Error:
                values[key] = Error(**value)
            elif isinstance(value, (list, tuple)):
                values[key] = tuple(float(number) for number in value)
            else:
                values[key] = value
        except (TypeError, ValueError) as error:
            raise BadSensor(f"{kind.kind}: {key}: {error}") from error
    try:
        return kind(**values)
    except TypeError as error:
        raise BadSensor(f"{kind.kind}: {error}") from error


def _site_name(sensor: Sensor) -> str:
    return f"sensor.{sensor.name}"


def _body(spec: mujoco.MjSpec, body: str, sensor: str) -> mujoco.MjsBody:
    found = spec.body(body)
    if found is None:
        names = [each.name for each in spec.bodies if each.name]
        raise BadSensor(f"sensor {sensor!r}: no body {body!r}; there are {', '.join(names[:40])}")
    return found


def _site(spec: mujoco.MjSpec, body: str, name: str, at_m: tuple[float, ...], sensor: str) -> None:
    _body(spec, body, sensor).add_site(name=name, pos=list(at_m))


def _sense(spec: mujoco.MjSpec, name: str, kind: mujoco.mjtSensor, site: str) -> None:
    spec.add_sensor(name=name, type=kind, objtype=mujoco.mjtObj.mjOBJ_SITE, objname=site)
