import datetime

from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.api import resource_pb2 as _resource_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from palaestra.v1 import claim_pb2 as _claim_pb2
from palaestra.v1 import rules_pb2 as _rules_pb2
from palaestra.v1 import worlds_pb2 as _worlds_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class JobState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    JOB_STATE_UNSPECIFIED: _ClassVar[JobState]
    JOB_STATE_QUEUED: _ClassVar[JobState]
    JOB_STATE_GRANTED: _ClassVar[JobState]
    JOB_STATE_RUNNING: _ClassVar[JobState]
    JOB_STATE_CANCELLING: _ClassVar[JobState]
    JOB_STATE_SUCCEEDED: _ClassVar[JobState]
    JOB_STATE_FAILED: _ClassVar[JobState]
    JOB_STATE_CANCELLED: _ClassVar[JobState]

class Actuators(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACTUATORS_UNSPECIFIED: _ClassVar[Actuators]
    ACTUATORS_PHYSICAL: _ClassVar[Actuators]
    ACTUATORS_IDEAL: _ClassVar[Actuators]

class CameraPicture(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CAMERA_PICTURE_UNSPECIFIED: _ClassVar[CameraPicture]
    CAMERA_PICTURE_RGB: _ClassVar[CameraPicture]
    CAMERA_PICTURE_DEPTH: _ClassVar[CameraPicture]
    CAMERA_PICTURE_RAY_DEPTH: _ClassVar[CameraPicture]

class AttemptState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ATTEMPT_STATE_UNSPECIFIED: _ClassVar[AttemptState]
    ATTEMPT_STATE_GRANTED: _ClassVar[AttemptState]
    ATTEMPT_STATE_RUNNING: _ClassVar[AttemptState]
    ATTEMPT_STATE_SUCCEEDED: _ClassVar[AttemptState]
    ATTEMPT_STATE_FAILED: _ClassVar[AttemptState]
    ATTEMPT_STATE_CANCELLED: _ClassVar[AttemptState]
    ATTEMPT_STATE_LOST: _ClassVar[AttemptState]
JOB_STATE_UNSPECIFIED: JobState
JOB_STATE_QUEUED: JobState
JOB_STATE_GRANTED: JobState
JOB_STATE_RUNNING: JobState
JOB_STATE_CANCELLING: JobState
JOB_STATE_SUCCEEDED: JobState
JOB_STATE_FAILED: JobState
JOB_STATE_CANCELLED: JobState
ACTUATORS_UNSPECIFIED: Actuators
ACTUATORS_PHYSICAL: Actuators
ACTUATORS_IDEAL: Actuators
CAMERA_PICTURE_UNSPECIFIED: CameraPicture
CAMERA_PICTURE_RGB: CameraPicture
CAMERA_PICTURE_DEPTH: CameraPicture
CAMERA_PICTURE_RAY_DEPTH: CameraPicture
ATTEMPT_STATE_UNSPECIFIED: AttemptState
ATTEMPT_STATE_GRANTED: AttemptState
ATTEMPT_STATE_RUNNING: AttemptState
ATTEMPT_STATE_SUCCEEDED: AttemptState
ATTEMPT_STATE_FAILED: AttemptState
ATTEMPT_STATE_CANCELLED: AttemptState
ATTEMPT_STATE_LOST: AttemptState

class Job(_message.Message):
    __slots__ = ("name", "display_name", "claim", "priority", "labels", "max_attempts", "deadline", "after", "sim_first", "collect", "train", "evaluate", "check", "serve", "reservation", "state", "create_time", "grant_time", "start_time", "end_time", "attempts", "progress", "result", "failure", "episode_count", "etag", "sequence", "array", "array_index", "project")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    MAX_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    SIM_FIRST_FIELD_NUMBER: _ClassVar[int]
    COLLECT_FIELD_NUMBER: _ClassVar[int]
    TRAIN_FIELD_NUMBER: _ClassVar[int]
    EVALUATE_FIELD_NUMBER: _ClassVar[int]
    CHECK_FIELD_NUMBER: _ClassVar[int]
    SERVE_FIELD_NUMBER: _ClassVar[int]
    RESERVATION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    GRANT_TIME_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    EPISODE_COUNT_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ARRAY_FIELD_NUMBER: _ClassVar[int]
    ARRAY_INDEX_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    name: str
    display_name: str
    claim: _claim_pb2.Claim
    priority: int
    labels: _containers.ScalarMap[str, str]
    max_attempts: int
    deadline: _timestamp_pb2.Timestamp
    after: _containers.RepeatedScalarFieldContainer[str]
    sim_first: bool
    collect: CollectSpec
    train: TrainSpec
    evaluate: EvaluateSpec
    check: CheckSpec
    serve: ServeSpec
    reservation: str
    state: JobState
    create_time: _timestamp_pb2.Timestamp
    grant_time: _timestamp_pb2.Timestamp
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    attempts: _containers.RepeatedCompositeFieldContainer[Attempt]
    progress: JobProgress
    result: JobResult
    failure: Failure
    episode_count: int
    etag: str
    sequence: int
    array: str
    array_index: int
    project: str
    def __init__(self, name: _Optional[str] = ..., display_name: _Optional[str] = ..., claim: _Optional[_Union[_claim_pb2.Claim, _Mapping]] = ..., priority: _Optional[int] = ..., labels: _Optional[_Mapping[str, str]] = ..., max_attempts: _Optional[int] = ..., deadline: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., after: _Optional[_Iterable[str]] = ..., sim_first: bool = ..., collect: _Optional[_Union[CollectSpec, _Mapping]] = ..., train: _Optional[_Union[TrainSpec, _Mapping]] = ..., evaluate: _Optional[_Union[EvaluateSpec, _Mapping]] = ..., check: _Optional[_Union[CheckSpec, _Mapping]] = ..., serve: _Optional[_Union[ServeSpec, _Mapping]] = ..., reservation: _Optional[str] = ..., state: _Optional[_Union[JobState, str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., grant_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., attempts: _Optional[_Iterable[_Union[Attempt, _Mapping]]] = ..., progress: _Optional[_Union[JobProgress, _Mapping]] = ..., result: _Optional[_Union[JobResult, _Mapping]] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ..., episode_count: _Optional[int] = ..., etag: _Optional[str] = ..., sequence: _Optional[int] = ..., array: _Optional[str] = ..., array_index: _Optional[int] = ..., project: _Optional[str] = ...) -> None: ...

class CollectSpec(_message.Message):
    __slots__ = ("motion", "policy_job", "policy", "script", "episodes", "episode_duration", "task", "seed", "robot_model", "worlds", "actuators", "randomisation", "sensors", "policy_task", "cameras", "scenario", "level")
    MOTION_FIELD_NUMBER: _ClassVar[int]
    POLICY_JOB_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    SCRIPT_FIELD_NUMBER: _ClassVar[int]
    EPISODES_FIELD_NUMBER: _ClassVar[int]
    EPISODE_DURATION_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    ROBOT_MODEL_FIELD_NUMBER: _ClassVar[int]
    WORLDS_FIELD_NUMBER: _ClassVar[int]
    ACTUATORS_FIELD_NUMBER: _ClassVar[int]
    RANDOMISATION_FIELD_NUMBER: _ClassVar[int]
    SENSORS_FIELD_NUMBER: _ClassVar[int]
    POLICY_TASK_FIELD_NUMBER: _ClassVar[int]
    CAMERAS_FIELD_NUMBER: _ClassVar[int]
    SCENARIO_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    motion: str
    policy_job: str
    policy: _worlds_pb2.ServedPolicy
    script: str
    episodes: int
    episode_duration: _duration_pb2.Duration
    task: str
    seed: int
    robot_model: str
    worlds: int
    actuators: Actuators
    randomisation: _containers.RepeatedCompositeFieldContainer[_worlds_pb2.RandomisationTerm]
    sensors: _containers.RepeatedCompositeFieldContainer[_worlds_pb2.WorldSensor]
    policy_task: str
    cameras: _containers.RepeatedCompositeFieldContainer[Camera]
    scenario: str
    level: int
    def __init__(self, motion: _Optional[str] = ..., policy_job: _Optional[str] = ..., policy: _Optional[_Union[_worlds_pb2.ServedPolicy, _Mapping]] = ..., script: _Optional[str] = ..., episodes: _Optional[int] = ..., episode_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., task: _Optional[str] = ..., seed: _Optional[int] = ..., robot_model: _Optional[str] = ..., worlds: _Optional[int] = ..., actuators: _Optional[_Union[Actuators, str]] = ..., randomisation: _Optional[_Iterable[_Union[_worlds_pb2.RandomisationTerm, _Mapping]]] = ..., sensors: _Optional[_Iterable[_Union[_worlds_pb2.WorldSensor, _Mapping]]] = ..., policy_task: _Optional[str] = ..., cameras: _Optional[_Iterable[_Union[Camera, _Mapping]]] = ..., scenario: _Optional[str] = ..., level: _Optional[int] = ...) -> None: ...

class Camera(_message.Message):
    __slots__ = ("name", "picture", "width_px", "height_px", "rate_hz", "model_camera", "body", "position_m", "yaw_rad", "pitch_rad", "field_of_view_rad")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PICTURE_FIELD_NUMBER: _ClassVar[int]
    WIDTH_PX_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_PX_FIELD_NUMBER: _ClassVar[int]
    RATE_HZ_FIELD_NUMBER: _ClassVar[int]
    MODEL_CAMERA_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    POSITION_M_FIELD_NUMBER: _ClassVar[int]
    YAW_RAD_FIELD_NUMBER: _ClassVar[int]
    PITCH_RAD_FIELD_NUMBER: _ClassVar[int]
    FIELD_OF_VIEW_RAD_FIELD_NUMBER: _ClassVar[int]
    name: str
    picture: CameraPicture
    width_px: int
    height_px: int
    rate_hz: float
    model_camera: str
    body: str
    position_m: _containers.RepeatedScalarFieldContainer[float]
    yaw_rad: float
    pitch_rad: float
    field_of_view_rad: float
    def __init__(self, name: _Optional[str] = ..., picture: _Optional[_Union[CameraPicture, str]] = ..., width_px: _Optional[int] = ..., height_px: _Optional[int] = ..., rate_hz: _Optional[float] = ..., model_camera: _Optional[str] = ..., body: _Optional[str] = ..., position_m: _Optional[_Iterable[float]] = ..., yaw_rad: _Optional[float] = ..., pitch_rad: _Optional[float] = ..., field_of_view_rad: _Optional[float] = ...) -> None: ...

class TrainSpec(_message.Message):
    __slots__ = ("task", "robot_model", "iterations", "directions", "seed", "actuators", "randomisation")
    TASK_FIELD_NUMBER: _ClassVar[int]
    ROBOT_MODEL_FIELD_NUMBER: _ClassVar[int]
    ITERATIONS_FIELD_NUMBER: _ClassVar[int]
    DIRECTIONS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    ACTUATORS_FIELD_NUMBER: _ClassVar[int]
    RANDOMISATION_FIELD_NUMBER: _ClassVar[int]
    task: str
    robot_model: str
    iterations: int
    directions: int
    seed: int
    actuators: Actuators
    randomisation: _containers.RepeatedCompositeFieldContainer[_worlds_pb2.RandomisationTerm]
    def __init__(self, task: _Optional[str] = ..., robot_model: _Optional[str] = ..., iterations: _Optional[int] = ..., directions: _Optional[int] = ..., seed: _Optional[int] = ..., actuators: _Optional[_Union[Actuators, str]] = ..., randomisation: _Optional[_Iterable[_Union[_worlds_pb2.RandomisationTerm, _Mapping]]] = ...) -> None: ...

class EvaluateSpec(_message.Message):
    __slots__ = ("task", "robot_model", "policy_job", "episodes", "seed", "actuators", "randomisation", "sensors", "policy", "scenario", "level", "script")
    TASK_FIELD_NUMBER: _ClassVar[int]
    ROBOT_MODEL_FIELD_NUMBER: _ClassVar[int]
    POLICY_JOB_FIELD_NUMBER: _ClassVar[int]
    EPISODES_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    ACTUATORS_FIELD_NUMBER: _ClassVar[int]
    RANDOMISATION_FIELD_NUMBER: _ClassVar[int]
    SENSORS_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    SCENARIO_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    SCRIPT_FIELD_NUMBER: _ClassVar[int]
    task: str
    robot_model: str
    policy_job: str
    episodes: int
    seed: int
    actuators: Actuators
    randomisation: _containers.RepeatedCompositeFieldContainer[_worlds_pb2.RandomisationTerm]
    sensors: _containers.RepeatedCompositeFieldContainer[_worlds_pb2.WorldSensor]
    policy: _worlds_pb2.ServedPolicy
    scenario: str
    level: int
    script: str
    def __init__(self, task: _Optional[str] = ..., robot_model: _Optional[str] = ..., policy_job: _Optional[str] = ..., episodes: _Optional[int] = ..., seed: _Optional[int] = ..., actuators: _Optional[_Union[Actuators, str]] = ..., randomisation: _Optional[_Iterable[_Union[_worlds_pb2.RandomisationTerm, _Mapping]]] = ..., sensors: _Optional[_Iterable[_Union[_worlds_pb2.WorldSensor, _Mapping]]] = ..., policy: _Optional[_Union[_worlds_pb2.ServedPolicy, _Mapping]] = ..., scenario: _Optional[str] = ..., level: _Optional[int] = ..., script: _Optional[str] = ...) -> None: ...

class ServeSpec(_message.Message):
    __slots__ = ("task", "motion", "robot_model", "worlds", "seed", "actuators", "episode_duration", "idle_timeout", "pace", "randomisation", "sensors")
    TASK_FIELD_NUMBER: _ClassVar[int]
    MOTION_FIELD_NUMBER: _ClassVar[int]
    ROBOT_MODEL_FIELD_NUMBER: _ClassVar[int]
    WORLDS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    ACTUATORS_FIELD_NUMBER: _ClassVar[int]
    EPISODE_DURATION_FIELD_NUMBER: _ClassVar[int]
    IDLE_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    PACE_FIELD_NUMBER: _ClassVar[int]
    RANDOMISATION_FIELD_NUMBER: _ClassVar[int]
    SENSORS_FIELD_NUMBER: _ClassVar[int]
    task: str
    motion: str
    robot_model: str
    worlds: int
    seed: int
    actuators: Actuators
    episode_duration: _duration_pb2.Duration
    idle_timeout: _duration_pb2.Duration
    pace: _worlds_pb2.WorldPace
    randomisation: _containers.RepeatedCompositeFieldContainer[_worlds_pb2.RandomisationTerm]
    sensors: _containers.RepeatedCompositeFieldContainer[_worlds_pb2.WorldSensor]
    def __init__(self, task: _Optional[str] = ..., motion: _Optional[str] = ..., robot_model: _Optional[str] = ..., worlds: _Optional[int] = ..., seed: _Optional[int] = ..., actuators: _Optional[_Union[Actuators, str]] = ..., episode_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., idle_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., pace: _Optional[_Union[_worlds_pb2.WorldPace, _Mapping]] = ..., randomisation: _Optional[_Iterable[_Union[_worlds_pb2.RandomisationTerm, _Mapping]]] = ..., sensors: _Optional[_Iterable[_Union[_worlds_pb2.WorldSensor, _Mapping]]] = ...) -> None: ...

class CheckSpec(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Attempt(_message.Message):
    __slots__ = ("name", "number", "state", "lease", "grant_time", "start_time", "end_time", "failure", "resources")
    NAME_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    GRANT_TIME_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    name: str
    number: int
    state: AttemptState
    lease: str
    grant_time: _timestamp_pb2.Timestamp
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    failure: Failure
    resources: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., number: _Optional[int] = ..., state: _Optional[_Union[AttemptState, str]] = ..., lease: _Optional[str] = ..., grant_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ..., resources: _Optional[_Iterable[str]] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("reason", "message", "retryable")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    reason: str
    message: str
    retryable: bool
    def __init__(self, reason: _Optional[str] = ..., message: _Optional[str] = ..., retryable: bool = ...) -> None: ...

class JobProgress(_message.Message):
    __slots__ = ("fraction", "message", "slot")
    FRACTION_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SLOT_FIELD_NUMBER: _ClassVar[int]
    fraction: float
    message: str
    slot: SlotEndpoint
    def __init__(self, fraction: _Optional[float] = ..., message: _Optional[str] = ..., slot: _Optional[_Union[SlotEndpoint, _Mapping]] = ...) -> None: ...

class SlotEndpoint(_message.Message):
    __slots__ = ("address", "tls_address", "attempt")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    TLS_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    address: str
    tls_address: str
    attempt: int
    def __init__(self, address: _Optional[str] = ..., tls_address: _Optional[str] = ..., attempt: _Optional[int] = ...) -> None: ...

class JobResult(_message.Message):
    __slots__ = ("return_before", "return_after", "return_curve", "trials", "successes", "success_rate", "success_low", "success_high", "policy", "first_torque_unix_ns")
    RETURN_BEFORE_FIELD_NUMBER: _ClassVar[int]
    RETURN_AFTER_FIELD_NUMBER: _ClassVar[int]
    RETURN_CURVE_FIELD_NUMBER: _ClassVar[int]
    TRIALS_FIELD_NUMBER: _ClassVar[int]
    SUCCESSES_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_RATE_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_LOW_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_HIGH_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    FIRST_TORQUE_UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    return_before: float
    return_after: float
    return_curve: _containers.RepeatedScalarFieldContainer[float]
    trials: int
    successes: int
    success_rate: float
    success_low: float
    success_high: float
    policy: Artifact
    first_torque_unix_ns: int
    def __init__(self, return_before: _Optional[float] = ..., return_after: _Optional[float] = ..., return_curve: _Optional[_Iterable[float]] = ..., trials: _Optional[int] = ..., successes: _Optional[int] = ..., success_rate: _Optional[float] = ..., success_low: _Optional[float] = ..., success_high: _Optional[float] = ..., policy: _Optional[_Union[Artifact, _Mapping]] = ..., first_torque_unix_ns: _Optional[int] = ...) -> None: ...

class Artifact(_message.Message):
    __slots__ = ("sha256", "size_bytes", "media_type")
    SHA256_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    sha256: str
    size_bytes: int
    media_type: str
    def __init__(self, sha256: _Optional[str] = ..., size_bytes: _Optional[int] = ..., media_type: _Optional[str] = ...) -> None: ...
