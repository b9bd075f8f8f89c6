import datetime

from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.api import resource_pb2 as _resource_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from palaestra.v1 import claim_pb2 as _claim_pb2
from palaestra.v1 import job_pb2 as _job_pb2
from palaestra.v1 import rules_pb2 as _rules_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EpisodeOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EPISODE_OUTCOME_UNSPECIFIED: _ClassVar[EpisodeOutcome]
    EPISODE_OUTCOME_SUCCESS: _ClassVar[EpisodeOutcome]
    EPISODE_OUTCOME_FAILURE: _ClassVar[EpisodeOutcome]
    EPISODE_OUTCOME_ABORTED: _ClassVar[EpisodeOutcome]
    EPISODE_OUTCOME_INTERRUPTED: _ClassVar[EpisodeOutcome]
EPISODE_OUTCOME_UNSPECIFIED: EpisodeOutcome
EPISODE_OUTCOME_SUCCESS: EpisodeOutcome
EPISODE_OUTCOME_FAILURE: EpisodeOutcome
EPISODE_OUTCOME_ABORTED: EpisodeOutcome
EPISODE_OUTCOME_INTERRUPTED: EpisodeOutcome

class Episode(_message.Message):
    __slots__ = ("name", "job", "attempt", "index", "unit", "world", "robot_model", "scenario", "level", "task", "outcome", "outcome_cause", "return_value", "duration_s", "rows", "start_time", "seal_time", "content", "provenance", "maker", "signals")
    class ProvenanceEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    WORLD_FIELD_NUMBER: _ClassVar[int]
    ROBOT_MODEL_FIELD_NUMBER: _ClassVar[int]
    SCENARIO_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_CAUSE_FIELD_NUMBER: _ClassVar[int]
    RETURN_VALUE_FIELD_NUMBER: _ClassVar[int]
    DURATION_S_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    SEAL_TIME_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    MAKER_FIELD_NUMBER: _ClassVar[int]
    SIGNALS_FIELD_NUMBER: _ClassVar[int]
    name: str
    job: str
    attempt: str
    index: int
    unit: str
    world: int
    robot_model: str
    scenario: str
    level: _claim_pb2.EnvironmentLevel
    task: str
    outcome: EpisodeOutcome
    outcome_cause: str
    return_value: float
    duration_s: float
    rows: int
    start_time: _timestamp_pb2.Timestamp
    seal_time: _timestamp_pb2.Timestamp
    content: _job_pb2.Artifact
    provenance: _containers.ScalarMap[str, str]
    maker: str
    signals: _containers.RepeatedCompositeFieldContainer[EpisodeSignal]
    def __init__(self, name: _Optional[str] = ..., job: _Optional[str] = ..., attempt: _Optional[str] = ..., index: _Optional[int] = ..., unit: _Optional[str] = ..., world: _Optional[int] = ..., robot_model: _Optional[str] = ..., scenario: _Optional[str] = ..., level: _Optional[_Union[_claim_pb2.EnvironmentLevel, str]] = ..., task: _Optional[str] = ..., outcome: _Optional[_Union[EpisodeOutcome, str]] = ..., outcome_cause: _Optional[str] = ..., return_value: _Optional[float] = ..., duration_s: _Optional[float] = ..., rows: _Optional[int] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., seal_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., content: _Optional[_Union[_job_pb2.Artifact, _Mapping]] = ..., provenance: _Optional[_Mapping[str, str]] = ..., maker: _Optional[str] = ..., signals: _Optional[_Iterable[_Union[EpisodeSignal, _Mapping]]] = ...) -> None: ...

class EpisodeSignal(_message.Message):
    __slots__ = ("name", "rate_hz", "width", "unit", "frame")
    NAME_FIELD_NUMBER: _ClassVar[int]
    RATE_HZ_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    rate_hz: float
    width: int
    unit: str
    frame: str
    def __init__(self, name: _Optional[str] = ..., rate_hz: _Optional[float] = ..., width: _Optional[int] = ..., unit: _Optional[str] = ..., frame: _Optional[str] = ...) -> None: ...
