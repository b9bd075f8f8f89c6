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

class Placement(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PLACEMENT_UNSPECIFIED: _ClassVar[Placement]
    PLACEMENT_ANYWHERE: _ClassVar[Placement]
    PLACEMENT_TOGETHER: _ClassVar[Placement]
    PLACEMENT_APART: _ClassVar[Placement]

class EnvironmentLevel(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENVIRONMENT_LEVEL_UNSPECIFIED: _ClassVar[EnvironmentLevel]
    ENVIRONMENT_LEVEL_FIXED: _ClassVar[EnvironmentLevel]
    ENVIRONMENT_LEVEL_STRUCTURED: _ClassVar[EnvironmentLevel]
    ENVIRONMENT_LEVEL_OPEN: _ClassVar[EnvironmentLevel]
    ENVIRONMENT_LEVEL_DYNAMIC: _ClassVar[EnvironmentLevel]
PLACEMENT_UNSPECIFIED: Placement
PLACEMENT_ANYWHERE: Placement
PLACEMENT_TOGETHER: Placement
PLACEMENT_APART: Placement
ENVIRONMENT_LEVEL_UNSPECIFIED: EnvironmentLevel
ENVIRONMENT_LEVEL_FIXED: EnvironmentLevel
ENVIRONMENT_LEVEL_STRUCTURED: EnvironmentLevel
ENVIRONMENT_LEVEL_OPEN: EnvironmentLevel
ENVIRONMENT_LEVEL_DYNAMIC: EnvironmentLevel

class Claim(_message.Message):
    __slots__ = ("units", "sim_slots", "cell", "duration", "seats", "chargers", "placement", "alternatives")
    UNITS_FIELD_NUMBER: _ClassVar[int]
    SIM_SLOTS_FIELD_NUMBER: _ClassVar[int]
    CELL_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    SEATS_FIELD_NUMBER: _ClassVar[int]
    CHARGERS_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    ALTERNATIVES_FIELD_NUMBER: _ClassVar[int]
    units: _containers.RepeatedCompositeFieldContainer[UnitRequest]
    sim_slots: int
    cell: CellRequest
    duration: _duration_pb2.Duration
    seats: int
    chargers: int
    placement: Placement
    alternatives: _containers.RepeatedCompositeFieldContainer[Claim]
    def __init__(self, units: _Optional[_Iterable[_Union[UnitRequest, _Mapping]]] = ..., sim_slots: _Optional[int] = ..., cell: _Optional[_Union[CellRequest, _Mapping]] = ..., duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., seats: _Optional[int] = ..., chargers: _Optional[int] = ..., placement: _Optional[_Union[Placement, str]] = ..., alternatives: _Optional[_Iterable[_Union[Claim, _Mapping]]] = ...) -> None: ...

class UnitRequest(_message.Message):
    __slots__ = ("selector", "count", "count_max")
    SELECTOR_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    COUNT_MAX_FIELD_NUMBER: _ClassVar[int]
    selector: UnitSelector
    count: int
    count_max: int
    def __init__(self, selector: _Optional[_Union[UnitSelector, _Mapping]] = ..., count: _Optional[int] = ..., count_max: _Optional[int] = ...) -> None: ...

class UnitSelector(_message.Message):
    __slots__ = ("robot_class", "maker", "robot_model", "unit", "labels", "joint_count_min", "payload_min_kg", "end_effector", "sensors", "firmware")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ROBOT_CLASS_FIELD_NUMBER: _ClassVar[int]
    MAKER_FIELD_NUMBER: _ClassVar[int]
    ROBOT_MODEL_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    JOINT_COUNT_MIN_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_MIN_KG_FIELD_NUMBER: _ClassVar[int]
    END_EFFECTOR_FIELD_NUMBER: _ClassVar[int]
    SENSORS_FIELD_NUMBER: _ClassVar[int]
    FIRMWARE_FIELD_NUMBER: _ClassVar[int]
    robot_class: str
    maker: str
    robot_model: str
    unit: str
    labels: _containers.ScalarMap[str, str]
    joint_count_min: int
    payload_min_kg: float
    end_effector: str
    sensors: _containers.RepeatedScalarFieldContainer[str]
    firmware: str
    def __init__(self, robot_class: _Optional[str] = ..., maker: _Optional[str] = ..., robot_model: _Optional[str] = ..., unit: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., joint_count_min: _Optional[int] = ..., payload_min_kg: _Optional[float] = ..., end_effector: _Optional[str] = ..., sensors: _Optional[_Iterable[str]] = ..., firmware: _Optional[str] = ...) -> None: ...

class CellRequest(_message.Message):
    __slots__ = ("cell", "scenario", "level")
    CELL_FIELD_NUMBER: _ClassVar[int]
    SCENARIO_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    cell: str
    scenario: str
    level: EnvironmentLevel
    def __init__(self, cell: _Optional[str] = ..., scenario: _Optional[str] = ..., level: _Optional[_Union[EnvironmentLevel, str]] = ...) -> None: ...
