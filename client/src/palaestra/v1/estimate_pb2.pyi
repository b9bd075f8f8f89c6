import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from palaestra.v1 import claim_pb2 as _claim_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StartEstimate(_message.Message):
    __slots__ = ("planned_time", "p50_time", "p90_time", "calibration", "counterfactuals")
    PLANNED_TIME_FIELD_NUMBER: _ClassVar[int]
    P50_TIME_FIELD_NUMBER: _ClassVar[int]
    P90_TIME_FIELD_NUMBER: _ClassVar[int]
    CALIBRATION_FIELD_NUMBER: _ClassVar[int]
    COUNTERFACTUALS_FIELD_NUMBER: _ClassVar[int]
    planned_time: _timestamp_pb2.Timestamp
    p50_time: _timestamp_pb2.Timestamp
    p90_time: _timestamp_pb2.Timestamp
    calibration: EstimateCalibration
    counterfactuals: _containers.RepeatedCompositeFieldContainer[Counterfactual]
    def __init__(self, planned_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., p50_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., p90_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., calibration: _Optional[_Union[EstimateCalibration, _Mapping]] = ..., counterfactuals: _Optional[_Iterable[_Union[Counterfactual, _Mapping]]] = ...) -> None: ...

class Counterfactual(_message.Message):
    __slots__ = ("change", "start_time", "claim")
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    change: str
    start_time: _timestamp_pb2.Timestamp
    claim: _claim_pb2.Claim
    def __init__(self, change: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., claim: _Optional[_Union[_claim_pb2.Claim, _Mapping]] = ...) -> None: ...

class EstimateCalibration(_message.Message):
    __slots__ = ("jobs", "p50_held", "p90_held", "p50_pinball_s", "p90_pinball_s")
    JOBS_FIELD_NUMBER: _ClassVar[int]
    P50_HELD_FIELD_NUMBER: _ClassVar[int]
    P90_HELD_FIELD_NUMBER: _ClassVar[int]
    P50_PINBALL_S_FIELD_NUMBER: _ClassVar[int]
    P90_PINBALL_S_FIELD_NUMBER: _ClassVar[int]
    jobs: int
    p50_held: float
    p90_held: float
    p50_pinball_s: float
    p90_pinball_s: float
    def __init__(self, jobs: _Optional[int] = ..., p50_held: _Optional[float] = ..., p90_held: _Optional[float] = ..., p50_pinball_s: _Optional[float] = ..., p90_pinball_s: _Optional[float] = ...) -> None: ...
