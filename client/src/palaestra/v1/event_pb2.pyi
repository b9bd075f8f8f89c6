import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from palaestra.v1 import api_key_pb2 as _api_key_pb2
from palaestra.v1 import calendar_pb2 as _calendar_pb2
from palaestra.v1 import episode_pb2 as _episode_pb2
from palaestra.v1 import job_pb2 as _job_pb2
from palaestra.v1 import reservation_pb2 as _reservation_pb2
from palaestra.v1 import venue_pb2 as _venue_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Event(_message.Message):
    __slots__ = ("sequence", "time", "kind", "resource", "job", "unit", "cell", "sim_slot", "lease", "episode", "reservation", "closure", "api_key", "message")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    CELL_FIELD_NUMBER: _ClassVar[int]
    SIM_SLOT_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    EPISODE_FIELD_NUMBER: _ClassVar[int]
    RESERVATION_FIELD_NUMBER: _ClassVar[int]
    CLOSURE_FIELD_NUMBER: _ClassVar[int]
    API_KEY_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    time: _timestamp_pb2.Timestamp
    kind: str
    resource: str
    job: _job_pb2.Job
    unit: _venue_pb2.Unit
    cell: _venue_pb2.Cell
    sim_slot: _venue_pb2.SimSlot
    lease: _venue_pb2.Lease
    episode: _episode_pb2.Episode
    reservation: _reservation_pb2.Reservation
    closure: _calendar_pb2.Closure
    api_key: _api_key_pb2.ApiKey
    message: str
    def __init__(self, sequence: _Optional[int] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., kind: _Optional[str] = ..., resource: _Optional[str] = ..., job: _Optional[_Union[_job_pb2.Job, _Mapping]] = ..., unit: _Optional[_Union[_venue_pb2.Unit, _Mapping]] = ..., cell: _Optional[_Union[_venue_pb2.Cell, _Mapping]] = ..., sim_slot: _Optional[_Union[_venue_pb2.SimSlot, _Mapping]] = ..., lease: _Optional[_Union[_venue_pb2.Lease, _Mapping]] = ..., episode: _Optional[_Union[_episode_pb2.Episode, _Mapping]] = ..., reservation: _Optional[_Union[_reservation_pb2.Reservation, _Mapping]] = ..., closure: _Optional[_Union[_calendar_pb2.Closure, _Mapping]] = ..., api_key: _Optional[_Union[_api_key_pb2.ApiKey, _Mapping]] = ..., message: _Optional[str] = ...) -> None: ...
