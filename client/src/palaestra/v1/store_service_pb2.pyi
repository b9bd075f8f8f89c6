from google.api import field_behavior_pb2 as _field_behavior_pb2
from palaestra.v1 import rules_pb2 as _rules_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class GetStoreUsageRequest(_message.Message):
    __slots__ = ("parent",)
    PARENT_FIELD_NUMBER: _ClassVar[int]
    parent: str
    def __init__(self, parent: _Optional[str] = ...) -> None: ...

class StoreUsage(_message.Message):
    __slots__ = ("vendor", "episode_count", "size_bytes", "episode_count_max", "size_bytes_max", "removed_episode_count", "removed_size_bytes", "warning")
    VENDOR_FIELD_NUMBER: _ClassVar[int]
    EPISODE_COUNT_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    EPISODE_COUNT_MAX_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    REMOVED_EPISODE_COUNT_FIELD_NUMBER: _ClassVar[int]
    REMOVED_SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    WARNING_FIELD_NUMBER: _ClassVar[int]
    vendor: str
    episode_count: int
    size_bytes: int
    episode_count_max: int
    size_bytes_max: int
    removed_episode_count: int
    removed_size_bytes: int
    warning: str
    def __init__(self, vendor: _Optional[str] = ..., episode_count: _Optional[int] = ..., size_bytes: _Optional[int] = ..., episode_count_max: _Optional[int] = ..., size_bytes_max: _Optional[int] = ..., removed_episode_count: _Optional[int] = ..., removed_size_bytes: _Optional[int] = ..., warning: _Optional[str] = ...) -> None: ...

class CheckRoomRequest(_message.Message):
    __slots__ = ("attempt",)
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    attempt: str
    def __init__(self, attempt: _Optional[str] = ...) -> None: ...

class CheckRoomResponse(_message.Message):
    __slots__ = ("warning",)
    WARNING_FIELD_NUMBER: _ClassVar[int]
    warning: str
    def __init__(self, warning: _Optional[str] = ...) -> None: ...
