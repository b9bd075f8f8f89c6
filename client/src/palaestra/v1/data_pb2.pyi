import datetime

from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.api import resource_pb2 as _resource_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from palaestra.v1 import episode_pb2 as _episode_pb2
from palaestra.v1 import rules_pb2 as _rules_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EpisodeRecord(_message.Message):
    __slots__ = ("episode", "labels", "quality", "quality_parts", "quality_method", "dataset_versions")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class QualityPartsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    EPISODE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    QUALITY_PARTS_FIELD_NUMBER: _ClassVar[int]
    QUALITY_METHOD_FIELD_NUMBER: _ClassVar[int]
    DATASET_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    episode: _episode_pb2.Episode
    labels: _containers.ScalarMap[str, str]
    quality: float
    quality_parts: _containers.ScalarMap[str, float]
    quality_method: str
    dataset_versions: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, episode: _Optional[_Union[_episode_pb2.Episode, _Mapping]] = ..., labels: _Optional[_Mapping[str, str]] = ..., quality: _Optional[float] = ..., quality_parts: _Optional[_Mapping[str, float]] = ..., quality_method: _Optional[str] = ..., dataset_versions: _Optional[_Iterable[str]] = ...) -> None: ...

class RecordingSession(_message.Message):
    __slots__ = ("name", "job", "robot_model", "scenario", "task", "episode_count", "success_count", "duration_s", "size_bytes", "start_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    ROBOT_MODEL_FIELD_NUMBER: _ClassVar[int]
    SCENARIO_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    EPISODE_COUNT_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_COUNT_FIELD_NUMBER: _ClassVar[int]
    DURATION_S_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    job: str
    robot_model: str
    scenario: str
    task: str
    episode_count: int
    success_count: int
    duration_s: float
    size_bytes: int
    start_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., job: _Optional[str] = ..., robot_model: _Optional[str] = ..., scenario: _Optional[str] = ..., task: _Optional[str] = ..., episode_count: _Optional[int] = ..., success_count: _Optional[int] = ..., duration_s: _Optional[float] = ..., size_bytes: _Optional[int] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Dataset(_message.Message):
    __slots__ = ("name", "description", "create_time", "latest_version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    LATEST_VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    create_time: _timestamp_pb2.Timestamp
    latest_version: int
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., latest_version: _Optional[int] = ...) -> None: ...

class DatasetVersion(_message.Message):
    __slots__ = ("name", "number", "description", "episode_count", "duration_s", "size_bytes", "manifest_sha256", "create_time", "lineage")
    NAME_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    EPISODE_COUNT_FIELD_NUMBER: _ClassVar[int]
    DURATION_S_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_SHA256_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    LINEAGE_FIELD_NUMBER: _ClassVar[int]
    name: str
    number: int
    description: str
    episode_count: int
    duration_s: float
    size_bytes: int
    manifest_sha256: str
    create_time: _timestamp_pb2.Timestamp
    lineage: _containers.RepeatedCompositeFieldContainer[Lineage]
    def __init__(self, name: _Optional[str] = ..., number: _Optional[int] = ..., description: _Optional[str] = ..., episode_count: _Optional[int] = ..., duration_s: _Optional[float] = ..., size_bytes: _Optional[int] = ..., manifest_sha256: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., lineage: _Optional[_Iterable[_Union[Lineage, _Mapping]]] = ...) -> None: ...

class Lineage(_message.Message):
    __slots__ = ("source", "step", "code_sha256", "parameters")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    CODE_SHA256_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    source: str
    step: str
    code_sha256: str
    parameters: str
    def __init__(self, source: _Optional[str] = ..., step: _Optional[str] = ..., code_sha256: _Optional[str] = ..., parameters: _Optional[str] = ...) -> None: ...
