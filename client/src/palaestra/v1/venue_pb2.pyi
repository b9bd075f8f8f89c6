import datetime

from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.api import resource_pb2 as _resource_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from palaestra.v1 import body_pb2 as _body_pb2
from palaestra.v1 import claim_pb2 as _claim_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class UnitState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UNIT_STATE_UNSPECIFIED: _ClassVar[UnitState]
    UNIT_STATE_OFFLINE: _ClassVar[UnitState]
    UNIT_STATE_IDLE: _ClassVar[UnitState]
    UNIT_STATE_LEASED: _ClassVar[UnitState]
    UNIT_STATE_UNCERTAIN: _ClassVar[UnitState]
    UNIT_STATE_STOPPED: _ClassVar[UnitState]

class UnitHealth(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UNIT_HEALTH_UNSPECIFIED: _ClassVar[UnitHealth]
    UNIT_HEALTH_GOOD: _ClassVar[UnitHealth]
    UNIT_HEALTH_UNKNOWN: _ClassVar[UnitHealth]
    UNIT_HEALTH_BAD: _ClassVar[UnitHealth]
    UNIT_HEALTH_SUSPECT: _ClassVar[UnitHealth]
    UNIT_HEALTH_MAINTENANCE: _ClassVar[UnitHealth]
    UNIT_HEALTH_RETIRED: _ClassVar[UnitHealth]

class LeaseState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LEASE_STATE_UNSPECIFIED: _ClassVar[LeaseState]
    LEASE_STATE_OFFERED: _ClassVar[LeaseState]
    LEASE_STATE_ACTIVE: _ClassVar[LeaseState]
    LEASE_STATE_RELEASING: _ClassVar[LeaseState]
    LEASE_STATE_RELEASED: _ClassVar[LeaseState]
    LEASE_STATE_UNCERTAIN: _ClassVar[LeaseState]
    LEASE_STATE_EXPIRED: _ClassVar[LeaseState]
UNIT_STATE_UNSPECIFIED: UnitState
UNIT_STATE_OFFLINE: UnitState
UNIT_STATE_IDLE: UnitState
UNIT_STATE_LEASED: UnitState
UNIT_STATE_UNCERTAIN: UnitState
UNIT_STATE_STOPPED: UnitState
UNIT_HEALTH_UNSPECIFIED: UnitHealth
UNIT_HEALTH_GOOD: UnitHealth
UNIT_HEALTH_UNKNOWN: UnitHealth
UNIT_HEALTH_BAD: UnitHealth
UNIT_HEALTH_SUSPECT: UnitHealth
UNIT_HEALTH_MAINTENANCE: UnitHealth
UNIT_HEALTH_RETIRED: UnitHealth
LEASE_STATE_UNSPECIFIED: LeaseState
LEASE_STATE_OFFERED: LeaseState
LEASE_STATE_ACTIVE: LeaseState
LEASE_STATE_RELEASING: LeaseState
LEASE_STATE_RELEASED: LeaseState
LEASE_STATE_UNCERTAIN: LeaseState
LEASE_STATE_EXPIRED: LeaseState

class Venue(_message.Message):
    __slots__ = ("name", "display_name", "width_m", "depth_m", "unit_count", "cell_count", "sim_slot_count", "runner_count", "tasks", "motions", "robot_models", "scenarios", "sequence")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    WIDTH_M_FIELD_NUMBER: _ClassVar[int]
    DEPTH_M_FIELD_NUMBER: _ClassVar[int]
    UNIT_COUNT_FIELD_NUMBER: _ClassVar[int]
    CELL_COUNT_FIELD_NUMBER: _ClassVar[int]
    SIM_SLOT_COUNT_FIELD_NUMBER: _ClassVar[int]
    RUNNER_COUNT_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    MOTIONS_FIELD_NUMBER: _ClassVar[int]
    ROBOT_MODELS_FIELD_NUMBER: _ClassVar[int]
    SCENARIOS_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    name: str
    display_name: str
    width_m: float
    depth_m: float
    unit_count: int
    cell_count: int
    sim_slot_count: int
    runner_count: int
    tasks: _containers.RepeatedScalarFieldContainer[str]
    motions: _containers.RepeatedScalarFieldContainer[str]
    robot_models: _containers.RepeatedScalarFieldContainer[str]
    scenarios: _containers.RepeatedScalarFieldContainer[str]
    sequence: int
    def __init__(self, name: _Optional[str] = ..., display_name: _Optional[str] = ..., width_m: _Optional[float] = ..., depth_m: _Optional[float] = ..., unit_count: _Optional[int] = ..., cell_count: _Optional[int] = ..., sim_slot_count: _Optional[int] = ..., runner_count: _Optional[int] = ..., tasks: _Optional[_Iterable[str]] = ..., motions: _Optional[_Iterable[str]] = ..., robot_models: _Optional[_Iterable[str]] = ..., scenarios: _Optional[_Iterable[str]] = ..., sequence: _Optional[int] = ...) -> None: ...

class FloorPose(_message.Message):
    __slots__ = ("x_m", "y_m", "yaw_rad")
    X_M_FIELD_NUMBER: _ClassVar[int]
    Y_M_FIELD_NUMBER: _ClassVar[int]
    YAW_RAD_FIELD_NUMBER: _ClassVar[int]
    x_m: float
    y_m: float
    yaw_rad: float
    def __init__(self, x_m: _Optional[float] = ..., y_m: _Optional[float] = ..., yaw_rad: _Optional[float] = ...) -> None: ...

class Unit(_message.Message):
    __slots__ = ("name", "serial", "robot_model", "robot_class", "maker", "labels", "joint_count", "pose", "state", "health", "fault", "epoch", "lease", "battery", "seen_time", "etag", "emulated", "body_state")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    SERIAL_FIELD_NUMBER: _ClassVar[int]
    ROBOT_MODEL_FIELD_NUMBER: _ClassVar[int]
    ROBOT_CLASS_FIELD_NUMBER: _ClassVar[int]
    MAKER_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    JOINT_COUNT_FIELD_NUMBER: _ClassVar[int]
    POSE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    BATTERY_FIELD_NUMBER: _ClassVar[int]
    SEEN_TIME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    EMULATED_FIELD_NUMBER: _ClassVar[int]
    BODY_STATE_FIELD_NUMBER: _ClassVar[int]
    name: str
    serial: str
    robot_model: str
    robot_class: str
    maker: str
    labels: _containers.ScalarMap[str, str]
    joint_count: int
    pose: FloorPose
    state: UnitState
    health: UnitHealth
    fault: str
    epoch: int
    lease: str
    battery: float
    seen_time: _timestamp_pb2.Timestamp
    etag: str
    emulated: bool
    body_state: _body_pb2.BodyState
    def __init__(self, name: _Optional[str] = ..., serial: _Optional[str] = ..., robot_model: _Optional[str] = ..., robot_class: _Optional[str] = ..., maker: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., joint_count: _Optional[int] = ..., pose: _Optional[_Union[FloorPose, _Mapping]] = ..., state: _Optional[_Union[UnitState, str]] = ..., health: _Optional[_Union[UnitHealth, str]] = ..., fault: _Optional[str] = ..., epoch: _Optional[int] = ..., lease: _Optional[str] = ..., battery: _Optional[float] = ..., seen_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., etag: _Optional[str] = ..., emulated: bool = ..., body_state: _Optional[_Union[_body_pb2.BodyState, _Mapping]] = ...) -> None: ...

class Cell(_message.Message):
    __slots__ = ("name", "display_name", "scenario", "sector", "level", "pose", "width_m", "depth_m", "occupied", "lease")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    SCENARIO_FIELD_NUMBER: _ClassVar[int]
    SECTOR_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    POSE_FIELD_NUMBER: _ClassVar[int]
    WIDTH_M_FIELD_NUMBER: _ClassVar[int]
    DEPTH_M_FIELD_NUMBER: _ClassVar[int]
    OCCUPIED_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    name: str
    display_name: str
    scenario: str
    sector: str
    level: _claim_pb2.EnvironmentLevel
    pose: FloorPose
    width_m: float
    depth_m: float
    occupied: bool
    lease: str
    def __init__(self, name: _Optional[str] = ..., display_name: _Optional[str] = ..., scenario: _Optional[str] = ..., sector: _Optional[str] = ..., level: _Optional[_Union[_claim_pb2.EnvironmentLevel, str]] = ..., pose: _Optional[_Union[FloorPose, _Mapping]] = ..., width_m: _Optional[float] = ..., depth_m: _Optional[float] = ..., occupied: bool = ..., lease: _Optional[str] = ...) -> None: ...

class SimSlot(_message.Message):
    __slots__ = ("name", "occupied", "lease")
    NAME_FIELD_NUMBER: _ClassVar[int]
    OCCUPIED_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    name: str
    occupied: bool
    lease: str
    def __init__(self, name: _Optional[str] = ..., occupied: bool = ..., lease: _Optional[str] = ...) -> None: ...

class Lease(_message.Message):
    __slots__ = ("name", "job", "attempt", "state", "units", "sim_slots", "cell", "grant_time", "expire_time", "end_by_time", "end_time", "seats", "chargers")
    NAME_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    SIM_SLOTS_FIELD_NUMBER: _ClassVar[int]
    CELL_FIELD_NUMBER: _ClassVar[int]
    GRANT_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    END_BY_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    SEATS_FIELD_NUMBER: _ClassVar[int]
    CHARGERS_FIELD_NUMBER: _ClassVar[int]
    name: str
    job: str
    attempt: str
    state: LeaseState
    units: _containers.RepeatedCompositeFieldContainer[LeasedUnit]
    sim_slots: _containers.RepeatedScalarFieldContainer[str]
    cell: str
    grant_time: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    end_by_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    seats: int
    chargers: int
    def __init__(self, name: _Optional[str] = ..., job: _Optional[str] = ..., attempt: _Optional[str] = ..., state: _Optional[_Union[LeaseState, str]] = ..., units: _Optional[_Iterable[_Union[LeasedUnit, _Mapping]]] = ..., sim_slots: _Optional[_Iterable[str]] = ..., cell: _Optional[str] = ..., grant_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_by_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., seats: _Optional[int] = ..., chargers: _Optional[int] = ...) -> None: ...

class LeasedUnit(_message.Message):
    __slots__ = ("unit", "epoch", "robot_model")
    UNIT_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    ROBOT_MODEL_FIELD_NUMBER: _ClassVar[int]
    unit: str
    epoch: int
    robot_model: str
    def __init__(self, unit: _Optional[str] = ..., epoch: _Optional[int] = ..., robot_model: _Optional[str] = ...) -> None: ...
