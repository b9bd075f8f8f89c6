import datetime

from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from palaestra.v1 import estimate_pb2 as _estimate_pb2
from palaestra.v1 import job_pb2 as _job_pb2
from palaestra.v1 import rules_pb2 as _rules_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SubmitJobRequest(_message.Message):
    __slots__ = ("parent", "job", "request_id", "validate_only", "after_indices")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    AFTER_INDICES_FIELD_NUMBER: _ClassVar[int]
    parent: str
    job: _job_pb2.Job
    request_id: str
    validate_only: bool
    after_indices: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, parent: _Optional[str] = ..., job: _Optional[_Union[_job_pb2.Job, _Mapping]] = ..., request_id: _Optional[str] = ..., validate_only: bool = ..., after_indices: _Optional[_Iterable[int]] = ...) -> None: ...

class BatchSubmitJobsRequest(_message.Message):
    __slots__ = ("parent", "requests", "atomic")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    ATOMIC_FIELD_NUMBER: _ClassVar[int]
    parent: str
    requests: _containers.RepeatedCompositeFieldContainer[SubmitJobRequest]
    atomic: bool
    def __init__(self, parent: _Optional[str] = ..., requests: _Optional[_Iterable[_Union[SubmitJobRequest, _Mapping]]] = ..., atomic: bool = ...) -> None: ...

class BatchSubmitJobsResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[BatchSubmitResult]
    def __init__(self, results: _Optional[_Iterable[_Union[BatchSubmitResult, _Mapping]]] = ...) -> None: ...

class BatchSubmitResult(_message.Message):
    __slots__ = ("job", "failure")
    JOB_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    job: _job_pb2.Job
    failure: _job_pb2.Failure
    def __init__(self, job: _Optional[_Union[_job_pb2.Job, _Mapping]] = ..., failure: _Optional[_Union[_job_pb2.Failure, _Mapping]] = ...) -> None: ...

class GetJobRequest(_message.Message):
    __slots__ = ("name", "read_mask")
    NAME_FIELD_NUMBER: _ClassVar[int]
    READ_MASK_FIELD_NUMBER: _ClassVar[int]
    name: str
    read_mask: _field_mask_pb2.FieldMask
    def __init__(self, name: _Optional[str] = ..., read_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class ListJobsRequest(_message.Message):
    __slots__ = ("parent", "page_size", "page_token", "states", "array", "read_mask")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    ARRAY_FIELD_NUMBER: _ClassVar[int]
    READ_MASK_FIELD_NUMBER: _ClassVar[int]
    parent: str
    page_size: int
    page_token: str
    states: _containers.RepeatedScalarFieldContainer[_job_pb2.JobState]
    array: str
    read_mask: _field_mask_pb2.FieldMask
    def __init__(self, parent: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., states: _Optional[_Iterable[_Union[_job_pb2.JobState, str]]] = ..., array: _Optional[str] = ..., read_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class ListJobsResponse(_message.Message):
    __slots__ = ("jobs", "next_page_token")
    JOBS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[_job_pb2.Job]
    next_page_token: str
    def __init__(self, jobs: _Optional[_Iterable[_Union[_job_pb2.Job, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class CancelJobRequest(_message.Message):
    __slots__ = ("name", "etag", "request_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    etag: str
    request_id: str
    def __init__(self, name: _Optional[str] = ..., etag: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class ReorderJobRequest(_message.Message):
    __slots__ = ("name", "priority", "reason", "etag")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    name: str
    priority: int
    reason: str
    etag: str
    def __init__(self, name: _Optional[str] = ..., priority: _Optional[int] = ..., reason: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class ExplainJobRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ExplainJobResponse(_message.Message):
    __slots__ = ("state", "summary", "jobs_ahead", "reasons", "start")
    STATE_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    JOBS_AHEAD_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    state: _job_pb2.JobState
    summary: str
    jobs_ahead: int
    reasons: _containers.RepeatedCompositeFieldContainer[WaitReason]
    start: _estimate_pb2.StartEstimate
    def __init__(self, state: _Optional[_Union[_job_pb2.JobState, str]] = ..., summary: _Optional[str] = ..., jobs_ahead: _Optional[int] = ..., reasons: _Optional[_Iterable[_Union[WaitReason, _Mapping]]] = ..., start: _Optional[_Union[_estimate_pb2.StartEstimate, _Mapping]] = ...) -> None: ...

class WhatIfRequest(_message.Message):
    __slots__ = ("parent", "job")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    parent: str
    job: _job_pb2.Job
    def __init__(self, parent: _Optional[str] = ..., job: _Optional[_Union[_job_pb2.Job, _Mapping]] = ...) -> None: ...

class WhatIfResponse(_message.Message):
    __slots__ = ("starts_now", "summary", "jobs_ahead", "reasons", "start")
    STARTS_NOW_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    JOBS_AHEAD_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    starts_now: bool
    summary: str
    jobs_ahead: int
    reasons: _containers.RepeatedCompositeFieldContainer[WaitReason]
    start: _estimate_pb2.StartEstimate
    def __init__(self, starts_now: bool = ..., summary: _Optional[str] = ..., jobs_ahead: _Optional[int] = ..., reasons: _Optional[_Iterable[_Union[WaitReason, _Mapping]]] = ..., start: _Optional[_Union[_estimate_pb2.StartEstimate, _Mapping]] = ...) -> None: ...

class WaitReason(_message.Message):
    __slots__ = ("constraint", "message", "requested", "matching", "free", "fix")
    CONSTRAINT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_FIELD_NUMBER: _ClassVar[int]
    MATCHING_FIELD_NUMBER: _ClassVar[int]
    FREE_FIELD_NUMBER: _ClassVar[int]
    FIX_FIELD_NUMBER: _ClassVar[int]
    constraint: str
    message: str
    requested: int
    matching: int
    free: int
    fix: str
    def __init__(self, constraint: _Optional[str] = ..., message: _Optional[str] = ..., requested: _Optional[int] = ..., matching: _Optional[int] = ..., free: _Optional[int] = ..., fix: _Optional[str] = ...) -> None: ...

class WatchJobRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ReadLogRequest(_message.Message):
    __slots__ = ("name", "from_line", "follow")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FROM_LINE_FIELD_NUMBER: _ClassVar[int]
    FOLLOW_FIELD_NUMBER: _ClassVar[int]
    name: str
    from_line: int
    follow: bool
    def __init__(self, name: _Optional[str] = ..., from_line: _Optional[int] = ..., follow: bool = ...) -> None: ...

class ReadLogResponse(_message.Message):
    __slots__ = ("lines",)
    LINES_FIELD_NUMBER: _ClassVar[int]
    lines: _containers.RepeatedCompositeFieldContainer[LogLine]
    def __init__(self, lines: _Optional[_Iterable[_Union[LogLine, _Mapping]]] = ...) -> None: ...

class LogLine(_message.Message):
    __slots__ = ("line", "time", "attempt", "text")
    LINE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    line: int
    time: _timestamp_pb2.Timestamp
    attempt: int
    text: str
    def __init__(self, line: _Optional[int] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., attempt: _Optional[int] = ..., text: _Optional[str] = ...) -> None: ...

class OpenSlotRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class SlotTicket(_message.Message):
    __slots__ = ("address", "tls_address", "lease", "epoch", "token", "expire_time", "end_by_time")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    TLS_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    END_BY_TIME_FIELD_NUMBER: _ClassVar[int]
    address: str
    tls_address: str
    lease: str
    epoch: int
    token: str
    expire_time: _timestamp_pb2.Timestamp
    end_by_time: _timestamp_pb2.Timestamp
    def __init__(self, address: _Optional[str] = ..., tls_address: _Optional[str] = ..., lease: _Optional[str] = ..., epoch: _Optional[int] = ..., token: _Optional[str] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_by_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
