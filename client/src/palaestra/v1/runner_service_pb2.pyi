import datetime

from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from palaestra.v1 import episode_pb2 as _episode_pb2
from palaestra.v1 import job_pb2 as _job_pb2
from palaestra.v1 import rules_pb2 as _rules_pb2
from palaestra.v1 import venue_pb2 as _venue_pb2
from palaestra.v1 import worlds_pb2 as _worlds_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WatchAssignmentsRequest(_message.Message):
    __slots__ = ("runner", "instance", "sim_slots", "tasks", "motions", "robot_models", "quantities", "robots", "policy_servers", "scenarios")
    RUNNER_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    SIM_SLOTS_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    MOTIONS_FIELD_NUMBER: _ClassVar[int]
    ROBOT_MODELS_FIELD_NUMBER: _ClassVar[int]
    QUANTITIES_FIELD_NUMBER: _ClassVar[int]
    ROBOTS_FIELD_NUMBER: _ClassVar[int]
    POLICY_SERVERS_FIELD_NUMBER: _ClassVar[int]
    SCENARIOS_FIELD_NUMBER: _ClassVar[int]
    runner: str
    instance: str
    sim_slots: int
    tasks: _containers.RepeatedScalarFieldContainer[str]
    motions: _containers.RepeatedScalarFieldContainer[str]
    robot_models: _containers.RepeatedScalarFieldContainer[str]
    quantities: _containers.RepeatedCompositeFieldContainer[_worlds_pb2.QuantityRange]
    robots: _containers.RepeatedCompositeFieldContainer[_worlds_pb2.RobotNames]
    policy_servers: _containers.RepeatedScalarFieldContainer[str]
    scenarios: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, runner: _Optional[str] = ..., instance: _Optional[str] = ..., sim_slots: _Optional[int] = ..., tasks: _Optional[_Iterable[str]] = ..., motions: _Optional[_Iterable[str]] = ..., robot_models: _Optional[_Iterable[str]] = ..., quantities: _Optional[_Iterable[_Union[_worlds_pb2.QuantityRange, _Mapping]]] = ..., robots: _Optional[_Iterable[_Union[_worlds_pb2.RobotNames, _Mapping]]] = ..., policy_servers: _Optional[_Iterable[str]] = ..., scenarios: _Optional[_Iterable[str]] = ...) -> None: ...

class WatchAssignmentsResponse(_message.Message):
    __slots__ = ("assignments", "ended", "complete")
    ASSIGNMENTS_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    assignments: _containers.RepeatedCompositeFieldContainer[Assignment]
    ended: _containers.RepeatedScalarFieldContainer[str]
    complete: bool
    def __init__(self, assignments: _Optional[_Iterable[_Union[Assignment, _Mapping]]] = ..., ended: _Optional[_Iterable[str]] = ..., complete: bool = ...) -> None: ...

class Assignment(_message.Message):
    __slots__ = ("attempt", "job", "lease", "lease_token", "endpoints", "cell", "policy", "checkpoint", "episode_count", "cancel_requested", "stop_grace")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    LEASE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
    CELL_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    EPISODE_COUNT_FIELD_NUMBER: _ClassVar[int]
    CANCEL_REQUESTED_FIELD_NUMBER: _ClassVar[int]
    STOP_GRACE_FIELD_NUMBER: _ClassVar[int]
    attempt: str
    job: _job_pb2.Job
    lease: _venue_pb2.Lease
    lease_token: str
    endpoints: _containers.RepeatedCompositeFieldContainer[UnitEndpoint]
    cell: _venue_pb2.Cell
    policy: _job_pb2.Artifact
    checkpoint: _job_pb2.Artifact
    episode_count: int
    cancel_requested: bool
    stop_grace: _duration_pb2.Duration
    def __init__(self, attempt: _Optional[str] = ..., job: _Optional[_Union[_job_pb2.Job, _Mapping]] = ..., lease: _Optional[_Union[_venue_pb2.Lease, _Mapping]] = ..., lease_token: _Optional[str] = ..., endpoints: _Optional[_Iterable[_Union[UnitEndpoint, _Mapping]]] = ..., cell: _Optional[_Union[_venue_pb2.Cell, _Mapping]] = ..., policy: _Optional[_Union[_job_pb2.Artifact, _Mapping]] = ..., checkpoint: _Optional[_Union[_job_pb2.Artifact, _Mapping]] = ..., episode_count: _Optional[int] = ..., cancel_requested: bool = ..., stop_grace: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class UnitEndpoint(_message.Message):
    __slots__ = ("unit", "address", "epoch", "robot_model", "serial", "maker")
    UNIT_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    ROBOT_MODEL_FIELD_NUMBER: _ClassVar[int]
    SERIAL_FIELD_NUMBER: _ClassVar[int]
    MAKER_FIELD_NUMBER: _ClassVar[int]
    unit: str
    address: str
    epoch: int
    robot_model: str
    serial: str
    maker: str
    def __init__(self, unit: _Optional[str] = ..., address: _Optional[str] = ..., epoch: _Optional[int] = ..., robot_model: _Optional[str] = ..., serial: _Optional[str] = ..., maker: _Optional[str] = ...) -> None: ...

class StartAttemptRequest(_message.Message):
    __slots__ = ("attempt", "instance")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    attempt: str
    instance: str
    def __init__(self, attempt: _Optional[str] = ..., instance: _Optional[str] = ...) -> None: ...

class StartAttemptResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class HeartbeatAttemptsRequest(_message.Message):
    __slots__ = ("instance", "attempts")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    instance: str
    attempts: _containers.RepeatedCompositeFieldContainer[AttemptBeat]
    def __init__(self, instance: _Optional[str] = ..., attempts: _Optional[_Iterable[_Union[AttemptBeat, _Mapping]]] = ...) -> None: ...

class AttemptBeat(_message.Message):
    __slots__ = ("attempt", "progress")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    attempt: str
    progress: _job_pb2.JobProgress
    def __init__(self, attempt: _Optional[str] = ..., progress: _Optional[_Union[_job_pb2.JobProgress, _Mapping]] = ...) -> None: ...

class HeartbeatAttemptsResponse(_message.Message):
    __slots__ = ("stop",)
    STOP_FIELD_NUMBER: _ClassVar[int]
    stop: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, stop: _Optional[_Iterable[str]] = ...) -> None: ...

class AppendLogRequest(_message.Message):
    __slots__ = ("attempt", "lines")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    attempt: str
    lines: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, attempt: _Optional[str] = ..., lines: _Optional[_Iterable[str]] = ...) -> None: ...

class AppendLogResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CatalogueEpisodeRequest(_message.Message):
    __slots__ = ("attempt", "instance", "episode", "recovered")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    EPISODE_FIELD_NUMBER: _ClassVar[int]
    RECOVERED_FIELD_NUMBER: _ClassVar[int]
    attempt: str
    instance: str
    episode: _episode_pb2.Episode
    recovered: bool
    def __init__(self, attempt: _Optional[str] = ..., instance: _Optional[str] = ..., episode: _Optional[_Union[_episode_pb2.Episode, _Mapping]] = ..., recovered: bool = ...) -> None: ...

class SaveCheckpointRequest(_message.Message):
    __slots__ = ("attempt", "instance", "checkpoint")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    attempt: str
    instance: str
    checkpoint: _job_pb2.Artifact
    def __init__(self, attempt: _Optional[str] = ..., instance: _Optional[str] = ..., checkpoint: _Optional[_Union[_job_pb2.Artifact, _Mapping]] = ...) -> None: ...

class SaveCheckpointResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class FinishAttemptRequest(_message.Message):
    __slots__ = ("attempt", "instance", "outcome", "result", "failure")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    attempt: str
    instance: str
    outcome: _job_pb2.AttemptState
    result: _job_pb2.JobResult
    failure: _job_pb2.Failure
    def __init__(self, attempt: _Optional[str] = ..., instance: _Optional[str] = ..., outcome: _Optional[_Union[_job_pb2.AttemptState, str]] = ..., result: _Optional[_Union[_job_pb2.JobResult, _Mapping]] = ..., failure: _Optional[_Union[_job_pb2.Failure, _Mapping]] = ...) -> None: ...

class FinishAttemptResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
