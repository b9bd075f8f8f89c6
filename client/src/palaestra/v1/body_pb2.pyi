import datetime

from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from palaestra.v1 import rules_pb2 as _rules_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Battery(_message.Message):
    __slots__ = ("capacity_wh", "work_power_w", "charge_power_w")
    CAPACITY_WH_FIELD_NUMBER: _ClassVar[int]
    WORK_POWER_W_FIELD_NUMBER: _ClassVar[int]
    CHARGE_POWER_W_FIELD_NUMBER: _ClassVar[int]
    capacity_wh: float
    work_power_w: float
    charge_power_w: float
    def __init__(self, capacity_wh: _Optional[float] = ..., work_power_w: _Optional[float] = ..., charge_power_w: _Optional[float] = ...) -> None: ...

class Body(_message.Message):
    __slots__ = ("payload_kg", "end_effector", "sensors", "firmware", "battery")
    PAYLOAD_KG_FIELD_NUMBER: _ClassVar[int]
    END_EFFECTOR_FIELD_NUMBER: _ClassVar[int]
    SENSORS_FIELD_NUMBER: _ClassVar[int]
    FIRMWARE_FIELD_NUMBER: _ClassVar[int]
    BATTERY_FIELD_NUMBER: _ClassVar[int]
    payload_kg: float
    end_effector: str
    sensors: _containers.RepeatedScalarFieldContainer[str]
    firmware: str
    battery: Battery
    def __init__(self, payload_kg: _Optional[float] = ..., end_effector: _Optional[str] = ..., sensors: _Optional[_Iterable[str]] = ..., firmware: _Optional[str] = ..., battery: _Optional[_Union[Battery, _Mapping]] = ...) -> None: ...

class BodyState(_message.Message):
    __slots__ = ("body", "charging", "ready_time", "calibration_expire_time", "check_time", "wear_h", "health_cause")
    BODY_FIELD_NUMBER: _ClassVar[int]
    CHARGING_FIELD_NUMBER: _ClassVar[int]
    READY_TIME_FIELD_NUMBER: _ClassVar[int]
    CALIBRATION_EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    CHECK_TIME_FIELD_NUMBER: _ClassVar[int]
    WEAR_H_FIELD_NUMBER: _ClassVar[int]
    HEALTH_CAUSE_FIELD_NUMBER: _ClassVar[int]
    body: Body
    charging: bool
    ready_time: _timestamp_pb2.Timestamp
    calibration_expire_time: _timestamp_pb2.Timestamp
    check_time: _timestamp_pb2.Timestamp
    wear_h: float
    health_cause: str
    def __init__(self, body: _Optional[_Union[Body, _Mapping]] = ..., charging: bool = ..., ready_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., calibration_expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., check_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., wear_h: _Optional[float] = ..., health_cause: _Optional[str] = ...) -> None: ...
