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

class EnvironmentLevel(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENVIRONMENT_LEVEL_UNSPECIFIED: _ClassVar[EnvironmentLevel]
    ENVIRONMENT_LEVEL_FIXED: _ClassVar[EnvironmentLevel]
    ENVIRONMENT_LEVEL_STRUCTURED: _ClassVar[EnvironmentLevel]
    ENVIRONMENT_LEVEL_OPEN: _ClassVar[EnvironmentLevel]
    ENVIRONMENT_LEVEL_DYNAMIC: _ClassVar[EnvironmentLevel]
ENVIRONMENT_LEVEL_UNSPECIFIED: EnvironmentLevel
ENVIRONMENT_LEVEL_FIXED: EnvironmentLevel
ENVIRONMENT_LEVEL_STRUCTURED: EnvironmentLevel
ENVIRONMENT_LEVEL_OPEN: EnvironmentLevel
ENVIRONMENT_LEVEL_DYNAMIC: EnvironmentLevel

class Claim(_message.Message):
    __slots__ = ("units", "sim_slots", "cell", "duration")
    UNITS_FIELD_NUMBER: _ClassVar[int]
    SIM_SLOTS_FIELD_NUMBER: _ClassVar[int]
    CELL_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    units: _containers.RepeatedCompositeFieldContainer[UnitRequest]
    sim_slots: int
    cell: CellRequest
    duration: _duration_pb2.Duration
    def __init__(self, units: _Optional[_Iterable[_Union[UnitRequest, _Mapping]]] = ..., sim_slots: _Optional[int] = ..., cell: _Optional[_Union[CellRequest, _Mapping]] = ..., duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class UnitRequest(_message.Message):
    __slots__ = ("selector", "count")
    SELECTOR_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    selector: UnitSelector
    count: int
    def __init__(self, selector: _Optional[_Union[UnitSelector, _Mapping]] = ..., count: _Optional[int] = ...) -> None: ...

class UnitSelector(_message.Message):
    __slots__ = ("robot_class", "maker", "robot_model", "unit", "labels")
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
    robot_class: str
    maker: str
    robot_model: str
    unit: str
    labels: _containers.ScalarMap[str, str]
    def __init__(self, robot_class: _Optional[str] = ..., maker: _Optional[str] = ..., robot_model: _Optional[str] = ..., unit: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ...) -> None: ...

class CellRequest(_message.Message):
    __slots__ = ("cell", "scenario", "level")
    CELL_FIELD_NUMBER: _ClassVar[int]
    SCENARIO_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    cell: str
    scenario: str
    level: EnvironmentLevel
    def __init__(self, cell: _Optional[str] = ..., scenario: _Optional[str] = ..., level: _Optional[_Union[EnvironmentLevel, str]] = ...) -> None: ...
