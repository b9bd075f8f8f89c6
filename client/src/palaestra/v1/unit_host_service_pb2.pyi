from google.api import field_behavior_pb2 as _field_behavior_pb2
from palaestra.v1 import rules_pb2 as _rules_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DriveRequest(_message.Message):
    __slots__ = ("open", "target", "close")
    OPEN_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    CLOSE_FIELD_NUMBER: _ClassVar[int]
    open: DriveOpen
    target: DriveTarget
    close: DriveClose
    def __init__(self, open: _Optional[_Union[DriveOpen, _Mapping]] = ..., target: _Optional[_Union[DriveTarget, _Mapping]] = ..., close: _Optional[_Union[DriveClose, _Mapping]] = ...) -> None: ...

class DriveOpen(_message.Message):
    __slots__ = ("unit", "lease", "epoch", "token", "sample_rate_hz")
    UNIT_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_RATE_HZ_FIELD_NUMBER: _ClassVar[int]
    unit: str
    lease: str
    epoch: int
    token: str
    sample_rate_hz: float
    def __init__(self, unit: _Optional[str] = ..., lease: _Optional[str] = ..., epoch: _Optional[int] = ..., token: _Optional[str] = ..., sample_rate_hz: _Optional[float] = ...) -> None: ...

class DriveTarget(_message.Message):
    __slots__ = ("sequence", "position_rad", "velocity_rad_s", "feedforward_nm", "kp_nm_rad", "kd_nms_rad")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    POSITION_RAD_FIELD_NUMBER: _ClassVar[int]
    VELOCITY_RAD_S_FIELD_NUMBER: _ClassVar[int]
    FEEDFORWARD_NM_FIELD_NUMBER: _ClassVar[int]
    KP_NM_RAD_FIELD_NUMBER: _ClassVar[int]
    KD_NMS_RAD_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    position_rad: _containers.RepeatedScalarFieldContainer[float]
    velocity_rad_s: _containers.RepeatedScalarFieldContainer[float]
    feedforward_nm: _containers.RepeatedScalarFieldContainer[float]
    kp_nm_rad: _containers.RepeatedScalarFieldContainer[float]
    kd_nms_rad: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, sequence: _Optional[int] = ..., position_rad: _Optional[_Iterable[float]] = ..., velocity_rad_s: _Optional[_Iterable[float]] = ..., feedforward_nm: _Optional[_Iterable[float]] = ..., kp_nm_rad: _Optional[_Iterable[float]] = ..., kd_nms_rad: _Optional[_Iterable[float]] = ...) -> None: ...

class DriveClose(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DriveResponse(_message.Message):
    __slots__ = ("opened", "samples", "ended", "refused")
    OPENED_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    opened: DriveOpened
    samples: SampleBlock
    ended: DriveEnded
    refused: TargetRefused
    def __init__(self, opened: _Optional[_Union[DriveOpened, _Mapping]] = ..., samples: _Optional[_Union[SampleBlock, _Mapping]] = ..., ended: _Optional[_Union[DriveEnded, _Mapping]] = ..., refused: _Optional[_Union[TargetRefused, _Mapping]] = ...) -> None: ...

class DriveOpened(_message.Message):
    __slots__ = ("joint_names", "position_rad", "home_rad", "control_period_s", "robot_model", "controller_backend", "provenance")
    class ProvenanceEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    JOINT_NAMES_FIELD_NUMBER: _ClassVar[int]
    POSITION_RAD_FIELD_NUMBER: _ClassVar[int]
    HOME_RAD_FIELD_NUMBER: _ClassVar[int]
    CONTROL_PERIOD_S_FIELD_NUMBER: _ClassVar[int]
    ROBOT_MODEL_FIELD_NUMBER: _ClassVar[int]
    CONTROLLER_BACKEND_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    joint_names: _containers.RepeatedScalarFieldContainer[str]
    position_rad: _containers.RepeatedScalarFieldContainer[float]
    home_rad: _containers.RepeatedScalarFieldContainer[float]
    control_period_s: float
    robot_model: str
    controller_backend: str
    provenance: _containers.ScalarMap[str, str]
    def __init__(self, joint_names: _Optional[_Iterable[str]] = ..., position_rad: _Optional[_Iterable[float]] = ..., home_rad: _Optional[_Iterable[float]] = ..., control_period_s: _Optional[float] = ..., robot_model: _Optional[str] = ..., controller_backend: _Optional[str] = ..., provenance: _Optional[_Mapping[str, str]] = ...) -> None: ...

class SampleBlock(_message.Message):
    __slots__ = ("rows", "time_s", "position_rad", "velocity_rad_s", "torque_nm", "target_rad", "base_pose", "missed_ticks")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    TIME_S_FIELD_NUMBER: _ClassVar[int]
    POSITION_RAD_FIELD_NUMBER: _ClassVar[int]
    VELOCITY_RAD_S_FIELD_NUMBER: _ClassVar[int]
    TORQUE_NM_FIELD_NUMBER: _ClassVar[int]
    TARGET_RAD_FIELD_NUMBER: _ClassVar[int]
    BASE_POSE_FIELD_NUMBER: _ClassVar[int]
    MISSED_TICKS_FIELD_NUMBER: _ClassVar[int]
    rows: int
    time_s: _containers.RepeatedScalarFieldContainer[float]
    position_rad: _containers.RepeatedScalarFieldContainer[float]
    velocity_rad_s: _containers.RepeatedScalarFieldContainer[float]
    torque_nm: _containers.RepeatedScalarFieldContainer[float]
    target_rad: _containers.RepeatedScalarFieldContainer[float]
    base_pose: _containers.RepeatedScalarFieldContainer[float]
    missed_ticks: int
    def __init__(self, rows: _Optional[int] = ..., time_s: _Optional[_Iterable[float]] = ..., position_rad: _Optional[_Iterable[float]] = ..., velocity_rad_s: _Optional[_Iterable[float]] = ..., torque_nm: _Optional[_Iterable[float]] = ..., target_rad: _Optional[_Iterable[float]] = ..., base_pose: _Optional[_Iterable[float]] = ..., missed_ticks: _Optional[int] = ...) -> None: ...

class DriveEnded(_message.Message):
    __slots__ = ("reason", "message", "first_torque_unix_ns")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    FIRST_TORQUE_UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    reason: str
    message: str
    first_torque_unix_ns: int
    def __init__(self, reason: _Optional[str] = ..., message: _Optional[str] = ..., first_torque_unix_ns: _Optional[int] = ...) -> None: ...

class TargetRefused(_message.Message):
    __slots__ = ("sequence", "reason", "message")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    reason: str
    message: str
    def __init__(self, sequence: _Optional[int] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...
