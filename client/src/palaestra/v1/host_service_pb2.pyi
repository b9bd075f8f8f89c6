from google.api import field_behavior_pb2 as _field_behavior_pb2
from palaestra.v1 import body_pb2 as _body_pb2
from palaestra.v1 import rules_pb2 as _rules_pb2
from palaestra.v1 import venue_pb2 as _venue_pb2
from palaestra.v1 import venue_service_pb2 as _venue_service_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MotionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MOTION_STATE_UNSPECIFIED: _ClassVar[MotionState]
    MOTION_STATE_RESTING: _ClassVar[MotionState]
    MOTION_STATE_DRIVEN: _ClassVar[MotionState]
    MOTION_STATE_STOPPING: _ClassVar[MotionState]
    MOTION_STATE_LATCHED: _ClassVar[MotionState]
MOTION_STATE_UNSPECIFIED: MotionState
MOTION_STATE_RESTING: MotionState
MOTION_STATE_DRIVEN: MotionState
MOTION_STATE_STOPPING: MotionState
MOTION_STATE_LATCHED: MotionState

class ConnectRequest(_message.Message):
    __slots__ = ("hello", "beat")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    BEAT_FIELD_NUMBER: _ClassVar[int]
    hello: HostHello
    beat: HostBeat
    def __init__(self, hello: _Optional[_Union[HostHello, _Mapping]] = ..., beat: _Optional[_Union[HostBeat, _Mapping]] = ...) -> None: ...

class HostHello(_message.Message):
    __slots__ = ("host", "address", "instance", "units")
    HOST_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    host: str
    address: str
    instance: str
    units: _containers.RepeatedCompositeFieldContainer[UnitDeclaration]
    def __init__(self, host: _Optional[str] = ..., address: _Optional[str] = ..., instance: _Optional[str] = ..., units: _Optional[_Iterable[_Union[UnitDeclaration, _Mapping]]] = ...) -> None: ...

class UnitDeclaration(_message.Message):
    __slots__ = ("unit", "serial", "robot_model", "robot_class", "maker", "joint_count", "highest_epoch", "emulated", "labels", "body")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    UNIT_FIELD_NUMBER: _ClassVar[int]
    SERIAL_FIELD_NUMBER: _ClassVar[int]
    ROBOT_MODEL_FIELD_NUMBER: _ClassVar[int]
    ROBOT_CLASS_FIELD_NUMBER: _ClassVar[int]
    MAKER_FIELD_NUMBER: _ClassVar[int]
    JOINT_COUNT_FIELD_NUMBER: _ClassVar[int]
    HIGHEST_EPOCH_FIELD_NUMBER: _ClassVar[int]
    EMULATED_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    unit: str
    serial: str
    robot_model: str
    robot_class: str
    maker: str
    joint_count: int
    highest_epoch: int
    emulated: bool
    labels: _containers.ScalarMap[str, str]
    body: _body_pb2.Body
    def __init__(self, unit: _Optional[str] = ..., serial: _Optional[str] = ..., robot_model: _Optional[str] = ..., robot_class: _Optional[str] = ..., maker: _Optional[str] = ..., joint_count: _Optional[int] = ..., highest_epoch: _Optional[int] = ..., emulated: bool = ..., labels: _Optional[_Mapping[str, str]] = ..., body: _Optional[_Union[_body_pb2.Body, _Mapping]] = ...) -> None: ...

class HostBeat(_message.Message):
    __slots__ = ("units", "orders_done")
    UNITS_FIELD_NUMBER: _ClassVar[int]
    ORDERS_DONE_FIELD_NUMBER: _ClassVar[int]
    units: _containers.RepeatedCompositeFieldContainer[UnitStatus]
    orders_done: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, units: _Optional[_Iterable[_Union[UnitStatus, _Mapping]]] = ..., orders_done: _Optional[_Iterable[int]] = ...) -> None: ...

class UnitStatus(_message.Message):
    __slots__ = ("unit", "epoch", "motion", "fault", "safe_epoch", "battery", "first_torque_unix_ns", "offset", "charging")
    UNIT_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    MOTION_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    SAFE_EPOCH_FIELD_NUMBER: _ClassVar[int]
    BATTERY_FIELD_NUMBER: _ClassVar[int]
    FIRST_TORQUE_UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    CHARGING_FIELD_NUMBER: _ClassVar[int]
    unit: str
    epoch: int
    motion: MotionState
    fault: str
    safe_epoch: int
    battery: float
    first_torque_unix_ns: int
    offset: _venue_pb2.FloorPose
    charging: bool
    def __init__(self, unit: _Optional[str] = ..., epoch: _Optional[int] = ..., motion: _Optional[_Union[MotionState, str]] = ..., fault: _Optional[str] = ..., safe_epoch: _Optional[int] = ..., battery: _Optional[float] = ..., first_torque_unix_ns: _Optional[int] = ..., offset: _Optional[_Union[_venue_pb2.FloorPose, _Mapping]] = ..., charging: bool = ...) -> None: ...

class ConnectResponse(_message.Message):
    __slots__ = ("grants", "orders", "ended")
    GRANTS_FIELD_NUMBER: _ClassVar[int]
    ORDERS_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    grants: _containers.RepeatedCompositeFieldContainer[UnitGrant]
    orders: _containers.RepeatedCompositeFieldContainer[UnitOrder]
    ended: _containers.RepeatedCompositeFieldContainer[EndedEpoch]
    def __init__(self, grants: _Optional[_Iterable[_Union[UnitGrant, _Mapping]]] = ..., orders: _Optional[_Iterable[_Union[UnitOrder, _Mapping]]] = ..., ended: _Optional[_Iterable[_Union[EndedEpoch, _Mapping]]] = ...) -> None: ...

class EndedEpoch(_message.Message):
    __slots__ = ("unit", "epoch")
    UNIT_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    unit: str
    epoch: int
    def __init__(self, unit: _Optional[str] = ..., epoch: _Optional[int] = ...) -> None: ...

class UnitGrant(_message.Message):
    __slots__ = ("unit", "lease", "epoch", "token_sha256", "ttl_s")
    UNIT_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    TOKEN_SHA256_FIELD_NUMBER: _ClassVar[int]
    TTL_S_FIELD_NUMBER: _ClassVar[int]
    unit: str
    lease: str
    epoch: int
    token_sha256: bytes
    ttl_s: float
    def __init__(self, unit: _Optional[str] = ..., lease: _Optional[str] = ..., epoch: _Optional[int] = ..., token_sha256: _Optional[bytes] = ..., ttl_s: _Optional[float] = ...) -> None: ...

class UnitOrder(_message.Message):
    __slots__ = ("order", "unit", "inject_fault", "reset_fault", "protective_stop", "charge")
    ORDER_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    INJECT_FAULT_FIELD_NUMBER: _ClassVar[int]
    RESET_FAULT_FIELD_NUMBER: _ClassVar[int]
    PROTECTIVE_STOP_FIELD_NUMBER: _ClassVar[int]
    CHARGE_FIELD_NUMBER: _ClassVar[int]
    order: int
    unit: str
    inject_fault: InjectFault
    reset_fault: ResetFault
    protective_stop: ProtectiveStop
    charge: Charge
    def __init__(self, order: _Optional[int] = ..., unit: _Optional[str] = ..., inject_fault: _Optional[_Union[InjectFault, _Mapping]] = ..., reset_fault: _Optional[_Union[ResetFault, _Mapping]] = ..., protective_stop: _Optional[_Union[ProtectiveStop, _Mapping]] = ..., charge: _Optional[_Union[Charge, _Mapping]] = ...) -> None: ...

class InjectFault(_message.Message):
    __slots__ = ("kind", "joint")
    KIND_FIELD_NUMBER: _ClassVar[int]
    JOINT_FIELD_NUMBER: _ClassVar[int]
    kind: _venue_service_pb2.FaultKind
    joint: str
    def __init__(self, kind: _Optional[_Union[_venue_service_pb2.FaultKind, str]] = ..., joint: _Optional[str] = ...) -> None: ...

class ResetFault(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ProtectiveStop(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Charge(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
