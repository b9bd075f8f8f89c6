from google.api import field_behavior_pb2 as _field_behavior_pb2
from palaestra.v1 import calendar_pb2 as _calendar_pb2
from palaestra.v1 import rules_pb2 as _rules_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CreateClosureRequest(_message.Message):
    __slots__ = ("parent", "closure", "request_id", "validate_only")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    CLOSURE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    parent: str
    closure: _calendar_pb2.Closure
    request_id: str
    validate_only: bool
    def __init__(self, parent: _Optional[str] = ..., closure: _Optional[_Union[_calendar_pb2.Closure, _Mapping]] = ..., request_id: _Optional[str] = ..., validate_only: bool = ...) -> None: ...

class ListClosuresRequest(_message.Message):
    __slots__ = ("parent", "page_size", "page_token")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    parent: str
    page_size: int
    page_token: str
    def __init__(self, parent: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListClosuresResponse(_message.Message):
    __slots__ = ("closures", "next_page_token")
    CLOSURES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    closures: _containers.RepeatedCompositeFieldContainer[_calendar_pb2.Closure]
    next_page_token: str
    def __init__(self, closures: _Optional[_Iterable[_Union[_calendar_pb2.Closure, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteClosureRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DeleteClosureResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListClosedTimesRequest(_message.Message):
    __slots__ = ("parent", "days")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    DAYS_FIELD_NUMBER: _ClassVar[int]
    parent: str
    days: int
    def __init__(self, parent: _Optional[str] = ..., days: _Optional[int] = ...) -> None: ...

class ListClosedTimesResponse(_message.Message):
    __slots__ = ("closed_times", "time_zone")
    CLOSED_TIMES_FIELD_NUMBER: _ClassVar[int]
    TIME_ZONE_FIELD_NUMBER: _ClassVar[int]
    closed_times: _containers.RepeatedCompositeFieldContainer[_calendar_pb2.ClosedTime]
    time_zone: str
    def __init__(self, closed_times: _Optional[_Iterable[_Union[_calendar_pb2.ClosedTime, _Mapping]]] = ..., time_zone: _Optional[str] = ...) -> None: ...
