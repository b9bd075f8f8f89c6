import datetime

from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from palaestra.v1 import rules_pb2 as _rules_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RandomisationTerm(_message.Message):
    __slots__ = ("quantity", "of", "each", "uniform", "log_uniform", "normal")
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    OF_FIELD_NUMBER: _ClassVar[int]
    EACH_FIELD_NUMBER: _ClassVar[int]
    UNIFORM_FIELD_NUMBER: _ClassVar[int]
    LOG_UNIFORM_FIELD_NUMBER: _ClassVar[int]
    NORMAL_FIELD_NUMBER: _ClassVar[int]
    quantity: str
    of: _containers.RepeatedScalarFieldContainer[str]
    each: bool
    uniform: UniformDistribution
    log_uniform: LogUniformDistribution
    normal: NormalDistribution
    def __init__(self, quantity: _Optional[str] = ..., of: _Optional[_Iterable[str]] = ..., each: bool = ..., uniform: _Optional[_Union[UniformDistribution, _Mapping]] = ..., log_uniform: _Optional[_Union[LogUniformDistribution, _Mapping]] = ..., normal: _Optional[_Union[NormalDistribution, _Mapping]] = ...) -> None: ...

class UniformDistribution(_message.Message):
    __slots__ = ("low", "high")
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    low: float
    high: float
    def __init__(self, low: _Optional[float] = ..., high: _Optional[float] = ...) -> None: ...

class LogUniformDistribution(_message.Message):
    __slots__ = ("low", "high")
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    low: float
    high: float
    def __init__(self, low: _Optional[float] = ..., high: _Optional[float] = ...) -> None: ...

class NormalDistribution(_message.Message):
    __slots__ = ("mean", "deviation", "low", "high")
    MEAN_FIELD_NUMBER: _ClassVar[int]
    DEVIATION_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    mean: float
    deviation: float
    low: float
    high: float
    def __init__(self, mean: _Optional[float] = ..., deviation: _Optional[float] = ..., low: _Optional[float] = ..., high: _Optional[float] = ...) -> None: ...

class WorldSensor(_message.Message):
    __slots__ = ("name", "imu", "encoders", "force_torque", "contact", "depth")
    NAME_FIELD_NUMBER: _ClassVar[int]
    IMU_FIELD_NUMBER: _ClassVar[int]
    ENCODERS_FIELD_NUMBER: _ClassVar[int]
    FORCE_TORQUE_FIELD_NUMBER: _ClassVar[int]
    CONTACT_FIELD_NUMBER: _ClassVar[int]
    DEPTH_FIELD_NUMBER: _ClassVar[int]
    name: str
    imu: ImuSensor
    encoders: EncodersSensor
    force_torque: ForceTorqueSensor
    contact: ContactSensor
    depth: DepthSensor
    def __init__(self, name: _Optional[str] = ..., imu: _Optional[_Union[ImuSensor, _Mapping]] = ..., encoders: _Optional[_Union[EncodersSensor, _Mapping]] = ..., force_torque: _Optional[_Union[ForceTorqueSensor, _Mapping]] = ..., contact: _Optional[_Union[ContactSensor, _Mapping]] = ..., depth: _Optional[_Union[DepthSensor, _Mapping]] = ...) -> None: ...

class ReadingError(_message.Message):
    __slots__ = ("noise", "bias", "resolution", "delay")
    NOISE_FIELD_NUMBER: _ClassVar[int]
    BIAS_FIELD_NUMBER: _ClassVar[int]
    RESOLUTION_FIELD_NUMBER: _ClassVar[int]
    DELAY_FIELD_NUMBER: _ClassVar[int]
    noise: float
    bias: float
    resolution: float
    delay: _duration_pb2.Duration
    def __init__(self, noise: _Optional[float] = ..., bias: _Optional[float] = ..., resolution: _Optional[float] = ..., delay: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ImuSensor(_message.Message):
    __slots__ = ("body", "at_m", "accel", "gyro")
    BODY_FIELD_NUMBER: _ClassVar[int]
    AT_M_FIELD_NUMBER: _ClassVar[int]
    ACCEL_FIELD_NUMBER: _ClassVar[int]
    GYRO_FIELD_NUMBER: _ClassVar[int]
    body: str
    at_m: _containers.RepeatedScalarFieldContainer[float]
    accel: ReadingError
    gyro: ReadingError
    def __init__(self, body: _Optional[str] = ..., at_m: _Optional[_Iterable[float]] = ..., accel: _Optional[_Union[ReadingError, _Mapping]] = ..., gyro: _Optional[_Union[ReadingError, _Mapping]] = ...) -> None: ...

class EncodersSensor(_message.Message):
    __slots__ = ("angle",)
    ANGLE_FIELD_NUMBER: _ClassVar[int]
    angle: ReadingError
    def __init__(self, angle: _Optional[_Union[ReadingError, _Mapping]] = ...) -> None: ...

class ForceTorqueSensor(_message.Message):
    __slots__ = ("body", "force", "torque")
    BODY_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    TORQUE_FIELD_NUMBER: _ClassVar[int]
    body: str
    force: ReadingError
    torque: ReadingError
    def __init__(self, body: _Optional[str] = ..., force: _Optional[_Union[ReadingError, _Mapping]] = ..., torque: _Optional[_Union[ReadingError, _Mapping]] = ...) -> None: ...

class ContactSensor(_message.Message):
    __slots__ = ("body", "force")
    BODY_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    body: str
    force: ReadingError
    def __init__(self, body: _Optional[str] = ..., force: _Optional[_Union[ReadingError, _Mapping]] = ...) -> None: ...

class DepthSensor(_message.Message):
    __slots__ = ("body", "at_m", "yaw_rad", "pitch_rad", "width_px", "height_px", "field_of_view_rad", "range_m", "depth")
    BODY_FIELD_NUMBER: _ClassVar[int]
    AT_M_FIELD_NUMBER: _ClassVar[int]
    YAW_RAD_FIELD_NUMBER: _ClassVar[int]
    PITCH_RAD_FIELD_NUMBER: _ClassVar[int]
    WIDTH_PX_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_PX_FIELD_NUMBER: _ClassVar[int]
    FIELD_OF_VIEW_RAD_FIELD_NUMBER: _ClassVar[int]
    RANGE_M_FIELD_NUMBER: _ClassVar[int]
    DEPTH_FIELD_NUMBER: _ClassVar[int]
    body: str
    at_m: _containers.RepeatedScalarFieldContainer[float]
    yaw_rad: float
    pitch_rad: float
    width_px: int
    height_px: int
    field_of_view_rad: float
    range_m: float
    depth: ReadingError
    def __init__(self, body: _Optional[str] = ..., at_m: _Optional[_Iterable[float]] = ..., yaw_rad: _Optional[float] = ..., pitch_rad: _Optional[float] = ..., width_px: _Optional[int] = ..., height_px: _Optional[int] = ..., field_of_view_rad: _Optional[float] = ..., range_m: _Optional[float] = ..., depth: _Optional[_Union[ReadingError, _Mapping]] = ...) -> None: ...

class ServedPolicy(_message.Message):
    __slots__ = ("openpi", "chunk_steps", "prompt", "timeout", "outage")
    OPENPI_FIELD_NUMBER: _ClassVar[int]
    CHUNK_STEPS_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    OUTAGE_FIELD_NUMBER: _ClassVar[int]
    openpi: str
    chunk_steps: int
    prompt: str
    timeout: _duration_pb2.Duration
    outage: _duration_pb2.Duration
    def __init__(self, openpi: _Optional[str] = ..., chunk_steps: _Optional[int] = ..., prompt: _Optional[str] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., outage: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class WorldPace(_message.Message):
    __slots__ = ("mode", "rate")
    class Mode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        MODE_UNSPECIFIED: _ClassVar[WorldPace.Mode]
        MODE_LOCKSTEP: _ClassVar[WorldPace.Mode]
        MODE_REAL_TIME: _ClassVar[WorldPace.Mode]
    MODE_UNSPECIFIED: WorldPace.Mode
    MODE_LOCKSTEP: WorldPace.Mode
    MODE_REAL_TIME: WorldPace.Mode
    MODE_FIELD_NUMBER: _ClassVar[int]
    RATE_FIELD_NUMBER: _ClassVar[int]
    mode: WorldPace.Mode
    rate: float
    def __init__(self, mode: _Optional[_Union[WorldPace.Mode, str]] = ..., rate: _Optional[float] = ...) -> None: ...

class RobotNames(_message.Message):
    __slots__ = ("robot_model", "bodies", "shapes", "joints")
    ROBOT_MODEL_FIELD_NUMBER: _ClassVar[int]
    BODIES_FIELD_NUMBER: _ClassVar[int]
    SHAPES_FIELD_NUMBER: _ClassVar[int]
    JOINTS_FIELD_NUMBER: _ClassVar[int]
    robot_model: str
    bodies: _containers.RepeatedScalarFieldContainer[str]
    shapes: _containers.RepeatedScalarFieldContainer[str]
    joints: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, robot_model: _Optional[str] = ..., bodies: _Optional[_Iterable[str]] = ..., shapes: _Optional[_Iterable[str]] = ..., joints: _Optional[_Iterable[str]] = ...) -> None: ...

class QuantityRange(_message.Message):
    __slots__ = ("quantity", "on", "least", "actuators")
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    ON_FIELD_NUMBER: _ClassVar[int]
    LEAST_FIELD_NUMBER: _ClassVar[int]
    ACTUATORS_FIELD_NUMBER: _ClassVar[int]
    quantity: str
    on: str
    least: float
    actuators: str
    def __init__(self, quantity: _Optional[str] = ..., on: _Optional[str] = ..., least: _Optional[float] = ..., actuators: _Optional[str] = ...) -> None: ...
