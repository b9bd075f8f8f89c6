from google.api import field_behavior_pb2 as _field_behavior_pb2
from palaestra.v1 import rules_pb2 as _rules_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StepWorldsRequest(_message.Message):
    __slots__ = ("open", "reset", "action", "checkpoint", "restore", "finish")
    OPEN_FIELD_NUMBER: _ClassVar[int]
    RESET_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    RESTORE_FIELD_NUMBER: _ClassVar[int]
    FINISH_FIELD_NUMBER: _ClassVar[int]
    open: SlotOpen
    reset: SlotReset
    action: SlotAction
    checkpoint: SlotCheckpoint
    restore: SlotRestore
    finish: SlotFinish
    def __init__(self, open: _Optional[_Union[SlotOpen, _Mapping]] = ..., reset: _Optional[_Union[SlotReset, _Mapping]] = ..., action: _Optional[_Union[SlotAction, _Mapping]] = ..., checkpoint: _Optional[_Union[SlotCheckpoint, _Mapping]] = ..., restore: _Optional[_Union[SlotRestore, _Mapping]] = ..., finish: _Optional[_Union[SlotFinish, _Mapping]] = ...) -> None: ...

class SlotOpen(_message.Message):
    __slots__ = ("lease", "epoch", "token")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    lease: str
    epoch: int
    token: str
    def __init__(self, lease: _Optional[str] = ..., epoch: _Optional[int] = ..., token: _Optional[str] = ...) -> None: ...

class SlotReset(_message.Message):
    __slots__ = ("mask", "worlds", "episodes")
    MASK_FIELD_NUMBER: _ClassVar[int]
    WORLDS_FIELD_NUMBER: _ClassVar[int]
    EPISODES_FIELD_NUMBER: _ClassVar[int]
    mask: bytes
    worlds: bytes
    episodes: bytes
    def __init__(self, mask: _Optional[bytes] = ..., worlds: _Optional[bytes] = ..., episodes: _Optional[bytes] = ...) -> None: ...

class SlotAction(_message.Message):
    __slots__ = ("actions", "contain")
    ACTIONS_FIELD_NUMBER: _ClassVar[int]
    CONTAIN_FIELD_NUMBER: _ClassVar[int]
    actions: bytes
    contain: bool
    def __init__(self, actions: _Optional[bytes] = ..., contain: bool = ...) -> None: ...

class SlotFinish(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SlotCheckpoint(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SlotRestore(_message.Message):
    __slots__ = ("checkpoint",)
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    checkpoint: bytes
    def __init__(self, checkpoint: _Optional[bytes] = ...) -> None: ...

class StepWorldsResponse(_message.Message):
    __slots__ = ("opened", "transition", "checkpointed", "refused")
    OPENED_FIELD_NUMBER: _ClassVar[int]
    TRANSITION_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINTED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    opened: SlotOpened
    transition: SlotTransition
    checkpointed: SlotCheckpointed
    refused: SlotRefused
    def __init__(self, opened: _Optional[_Union[SlotOpened, _Mapping]] = ..., transition: _Optional[_Union[SlotTransition, _Mapping]] = ..., checkpointed: _Optional[_Union[SlotCheckpointed, _Mapping]] = ..., refused: _Optional[_Union[SlotRefused, _Mapping]] = ...) -> None: ...

class SlotOpened(_message.Message):
    __slots__ = ("worlds", "action_size", "observation_names", "horizon_steps", "period_s", "provenance", "sensors", "sensor_widths", "sensor_units", "start")
    class ProvenanceEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    WORLDS_FIELD_NUMBER: _ClassVar[int]
    ACTION_SIZE_FIELD_NUMBER: _ClassVar[int]
    OBSERVATION_NAMES_FIELD_NUMBER: _ClassVar[int]
    HORIZON_STEPS_FIELD_NUMBER: _ClassVar[int]
    PERIOD_S_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    SENSORS_FIELD_NUMBER: _ClassVar[int]
    SENSOR_WIDTHS_FIELD_NUMBER: _ClassVar[int]
    SENSOR_UNITS_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    worlds: int
    action_size: int
    observation_names: _containers.RepeatedScalarFieldContainer[str]
    horizon_steps: int
    period_s: float
    provenance: _containers.ScalarMap[str, str]
    sensors: _containers.RepeatedScalarFieldContainer[str]
    sensor_widths: _containers.RepeatedScalarFieldContainer[int]
    sensor_units: _containers.RepeatedScalarFieldContainer[str]
    start: SlotTransition
    def __init__(self, worlds: _Optional[int] = ..., action_size: _Optional[int] = ..., observation_names: _Optional[_Iterable[str]] = ..., horizon_steps: _Optional[int] = ..., period_s: _Optional[float] = ..., provenance: _Optional[_Mapping[str, str]] = ..., sensors: _Optional[_Iterable[str]] = ..., sensor_widths: _Optional[_Iterable[int]] = ..., sensor_units: _Optional[_Iterable[str]] = ..., start: _Optional[_Union[SlotTransition, _Mapping]] = ...) -> None: ...

class SlotTransition(_message.Message):
    __slots__ = ("observations", "rewards", "terminated", "truncated", "success", "readings", "failures", "worlds", "episodes")
    class FailuresEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: str
        def __init__(self, key: _Optional[int] = ..., value: _Optional[str] = ...) -> None: ...
    OBSERVATIONS_FIELD_NUMBER: _ClassVar[int]
    REWARDS_FIELD_NUMBER: _ClassVar[int]
    TERMINATED_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    READINGS_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    WORLDS_FIELD_NUMBER: _ClassVar[int]
    EPISODES_FIELD_NUMBER: _ClassVar[int]
    observations: bytes
    rewards: bytes
    terminated: bytes
    truncated: bytes
    success: bytes
    readings: bytes
    failures: _containers.ScalarMap[int, str]
    worlds: bytes
    episodes: bytes
    def __init__(self, observations: _Optional[bytes] = ..., rewards: _Optional[bytes] = ..., terminated: _Optional[bytes] = ..., truncated: _Optional[bytes] = ..., success: _Optional[bytes] = ..., readings: _Optional[bytes] = ..., failures: _Optional[_Mapping[int, str]] = ..., worlds: _Optional[bytes] = ..., episodes: _Optional[bytes] = ...) -> None: ...

class SlotCheckpointed(_message.Message):
    __slots__ = ("checkpoint",)
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    checkpoint: bytes
    def __init__(self, checkpoint: _Optional[bytes] = ...) -> None: ...

class SlotRefused(_message.Message):
    __slots__ = ("reason", "message")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    reason: str
    message: str
    def __init__(self, reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...
