from palaestra.v1 import rules_pb2 as _rules_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor

class ErrorReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ERROR_REASON_UNSPECIFIED: _ClassVar[ErrorReason]
    ERROR_REASON_INVALID_FIELD: _ClassVar[ErrorReason]
    ERROR_REASON_MALFORMED_MESSAGE: _ClassVar[ErrorReason]
    ERROR_REASON_MESSAGE_TOO_LARGE: _ClassVar[ErrorReason]
    ERROR_REASON_DEADLINE_REQUIRED: _ClassVar[ErrorReason]
    ERROR_REASON_BAD_TOKEN: _ClassVar[ErrorReason]
    ERROR_REASON_ROLE_DENIED: _ClassVar[ErrorReason]
    ERROR_REASON_NOT_FOUND: _ClassVar[ErrorReason]
    ERROR_REASON_REQUEST_ID_REUSED: _ClassVar[ErrorReason]
    ERROR_REASON_ETAG_MISMATCH: _ClassVar[ErrorReason]
    ERROR_REASON_UNKNOWN_SELECTOR: _ClassVar[ErrorReason]
    ERROR_REASON_IMPOSSIBLE_CLAIM: _ClassVar[ErrorReason]
    ERROR_REASON_PAGE_TOKEN_INVALID: _ClassVar[ErrorReason]
    ERROR_REASON_QUEUE_FULL: _ClassVar[ErrorReason]
    ERROR_REASON_JOB_ENDED: _ClassVar[ErrorReason]
    ERROR_REASON_STALE_EPOCH: _ClassVar[ErrorReason]
    ERROR_REASON_LEASE_NOT_ACTIVE: _ClassVar[ErrorReason]
    ERROR_REASON_LEASE_TOKEN_INVALID: _ClassVar[ErrorReason]
    ERROR_REASON_COMMAND_NOT_FINITE: _ClassVar[ErrorReason]
    ERROR_REASON_WRONG_SHAPE: _ClassVar[ErrorReason]
    ERROR_REASON_UNIT_FAULT: _ClassVar[ErrorReason]
    ERROR_REASON_UNIT_BUSY: _ClassVar[ErrorReason]
    ERROR_REASON_EVENTS_TOO_OLD: _ClassVar[ErrorReason]
    ERROR_REASON_POLICY_NOT_READY: _ClassVar[ErrorReason]
    ERROR_REASON_UNKNOWN_WORK: _ClassVar[ErrorReason]
    ERROR_REASON_BROKEN_MODEL: _ClassVar[ErrorReason]
    ERROR_REASON_STORE_FULL: _ClassVar[ErrorReason]
    ERROR_REASON_ATTEMPT_NOT_ACTIVE: _ClassVar[ErrorReason]
    ERROR_REASON_HOST_CONFLICT: _ClassVar[ErrorReason]
    ERROR_REASON_SHUTTING_DOWN: _ClassVar[ErrorReason]
    ERROR_REASON_INTERNAL: _ClassVar[ErrorReason]
    ERROR_REASON_JOB_CANCELLED: _ClassVar[ErrorReason]
    ERROR_REASON_WORK_FAILED: _ClassVar[ErrorReason]
    ERROR_REASON_RUNNER_LOST: _ClassVar[ErrorReason]
    ERROR_REASON_UNIT_OFFLINE: _ClassVar[ErrorReason]
    ERROR_REASON_DISK_FULL: _ClassVar[ErrorReason]
ERROR_REASON_UNSPECIFIED: ErrorReason
ERROR_REASON_INVALID_FIELD: ErrorReason
ERROR_REASON_MALFORMED_MESSAGE: ErrorReason
ERROR_REASON_MESSAGE_TOO_LARGE: ErrorReason
ERROR_REASON_DEADLINE_REQUIRED: ErrorReason
ERROR_REASON_BAD_TOKEN: ErrorReason
ERROR_REASON_ROLE_DENIED: ErrorReason
ERROR_REASON_NOT_FOUND: ErrorReason
ERROR_REASON_REQUEST_ID_REUSED: ErrorReason
ERROR_REASON_ETAG_MISMATCH: ErrorReason
ERROR_REASON_UNKNOWN_SELECTOR: ErrorReason
ERROR_REASON_IMPOSSIBLE_CLAIM: ErrorReason
ERROR_REASON_PAGE_TOKEN_INVALID: ErrorReason
ERROR_REASON_QUEUE_FULL: ErrorReason
ERROR_REASON_JOB_ENDED: ErrorReason
ERROR_REASON_STALE_EPOCH: ErrorReason
ERROR_REASON_LEASE_NOT_ACTIVE: ErrorReason
ERROR_REASON_LEASE_TOKEN_INVALID: ErrorReason
ERROR_REASON_COMMAND_NOT_FINITE: ErrorReason
ERROR_REASON_WRONG_SHAPE: ErrorReason
ERROR_REASON_UNIT_FAULT: ErrorReason
ERROR_REASON_UNIT_BUSY: ErrorReason
ERROR_REASON_EVENTS_TOO_OLD: ErrorReason
ERROR_REASON_POLICY_NOT_READY: ErrorReason
ERROR_REASON_UNKNOWN_WORK: ErrorReason
ERROR_REASON_BROKEN_MODEL: ErrorReason
ERROR_REASON_STORE_FULL: ErrorReason
ERROR_REASON_ATTEMPT_NOT_ACTIVE: ErrorReason
ERROR_REASON_HOST_CONFLICT: ErrorReason
ERROR_REASON_SHUTTING_DOWN: ErrorReason
ERROR_REASON_INTERNAL: ErrorReason
ERROR_REASON_JOB_CANCELLED: ErrorReason
ERROR_REASON_WORK_FAILED: ErrorReason
ERROR_REASON_RUNNER_LOST: ErrorReason
ERROR_REASON_UNIT_OFFLINE: ErrorReason
ERROR_REASON_DISK_FULL: ErrorReason
