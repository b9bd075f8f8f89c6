from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MonthlyUsage(_message.Message):
    __slots__ = ("vendor", "month", "units", "sim_slots", "cells")
    VENDOR_FIELD_NUMBER: _ClassVar[int]
    MONTH_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    SIM_SLOTS_FIELD_NUMBER: _ClassVar[int]
    CELLS_FIELD_NUMBER: _ClassVar[int]
    vendor: str
    month: str
    units: _containers.RepeatedCompositeFieldContainer[UsageLine]
    sim_slots: UsageLine
    cells: UsageLine
    def __init__(self, vendor: _Optional[str] = ..., month: _Optional[str] = ..., units: _Optional[_Iterable[_Union[UsageLine, _Mapping]]] = ..., sim_slots: _Optional[_Union[UsageLine, _Mapping]] = ..., cells: _Optional[_Union[UsageLine, _Mapping]] = ...) -> None: ...

class UsageLine(_message.Message):
    __slots__ = ("robot_class", "used_s", "refund_s", "net_s")
    ROBOT_CLASS_FIELD_NUMBER: _ClassVar[int]
    USED_S_FIELD_NUMBER: _ClassVar[int]
    REFUND_S_FIELD_NUMBER: _ClassVar[int]
    NET_S_FIELD_NUMBER: _ClassVar[int]
    robot_class: str
    used_s: float
    refund_s: float
    net_s: float
    def __init__(self, robot_class: _Optional[str] = ..., used_s: _Optional[float] = ..., refund_s: _Optional[float] = ..., net_s: _Optional[float] = ...) -> None: ...
