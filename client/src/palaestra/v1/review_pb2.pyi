import datetime

from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from palaestra.v1 import data_pb2 as _data_pb2
from palaestra.v1 import episode_pb2 as _episode_pb2
from palaestra.v1 import rules_pb2 as _rules_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReviewVerdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REVIEW_VERDICT_UNSPECIFIED: _ClassVar[ReviewVerdict]
    REVIEW_VERDICT_ACCEPTED: _ClassVar[ReviewVerdict]
    REVIEW_VERDICT_REJECTED: _ClassVar[ReviewVerdict]

class ReviewOrder(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REVIEW_ORDER_UNSPECIFIED: _ClassVar[ReviewOrder]
    REVIEW_ORDER_WORST: _ClassVar[ReviewOrder]
    REVIEW_ORDER_INFORMATIVE: _ClassVar[ReviewOrder]
    REVIEW_ORDER_OLDEST: _ClassVar[ReviewOrder]

class AuthorKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AUTHOR_KIND_UNSPECIFIED: _ClassVar[AuthorKind]
    AUTHOR_KIND_RULE: _ClassVar[AuthorKind]
    AUTHOR_KIND_PERSON: _ClassVar[AuthorKind]
REVIEW_VERDICT_UNSPECIFIED: ReviewVerdict
REVIEW_VERDICT_ACCEPTED: ReviewVerdict
REVIEW_VERDICT_REJECTED: ReviewVerdict
REVIEW_ORDER_UNSPECIFIED: ReviewOrder
REVIEW_ORDER_WORST: ReviewOrder
REVIEW_ORDER_INFORMATIVE: ReviewOrder
REVIEW_ORDER_OLDEST: ReviewOrder
AUTHOR_KIND_UNSPECIFIED: AuthorKind
AUTHOR_KIND_RULE: AuthorKind
AUTHOR_KIND_PERSON: AuthorKind

class Subtask(_message.Message):
    __slots__ = ("name", "start_s", "end_s")
    NAME_FIELD_NUMBER: _ClassVar[int]
    START_S_FIELD_NUMBER: _ClassVar[int]
    END_S_FIELD_NUMBER: _ClassVar[int]
    name: str
    start_s: float
    end_s: float
    def __init__(self, name: _Optional[str] = ..., start_s: _Optional[float] = ..., end_s: _Optional[float] = ...) -> None: ...

class Subtasks(_message.Message):
    __slots__ = ("subtasks",)
    SUBTASKS_FIELD_NUMBER: _ClassVar[int]
    subtasks: _containers.RepeatedCompositeFieldContainer[Subtask]
    def __init__(self, subtasks: _Optional[_Iterable[_Union[Subtask, _Mapping]]] = ...) -> None: ...

class FaultKinds(_message.Message):
    __slots__ = ("kinds",)
    KINDS_FIELD_NUMBER: _ClassVar[int]
    kinds: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, kinds: _Optional[_Iterable[str]] = ...) -> None: ...

class ReviewAnswer(_message.Message):
    __slots__ = ("verdict", "outcome", "failure_cause", "grade", "faults", "subtasks", "note", "reviewer", "number", "author", "answer_time", "rule_method", "rule_faults")
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    FAILURE_CAUSE_FIELD_NUMBER: _ClassVar[int]
    GRADE_FIELD_NUMBER: _ClassVar[int]
    FAULTS_FIELD_NUMBER: _ClassVar[int]
    SUBTASKS_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    REVIEWER_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    ANSWER_TIME_FIELD_NUMBER: _ClassVar[int]
    RULE_METHOD_FIELD_NUMBER: _ClassVar[int]
    RULE_FAULTS_FIELD_NUMBER: _ClassVar[int]
    verdict: ReviewVerdict
    outcome: _episode_pb2.EpisodeOutcome
    failure_cause: str
    grade: str
    faults: FaultKinds
    subtasks: Subtasks
    note: str
    reviewer: str
    number: int
    author: str
    answer_time: _timestamp_pb2.Timestamp
    rule_method: str
    rule_faults: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, verdict: _Optional[_Union[ReviewVerdict, str]] = ..., outcome: _Optional[_Union[_episode_pb2.EpisodeOutcome, str]] = ..., failure_cause: _Optional[str] = ..., grade: _Optional[str] = ..., faults: _Optional[_Union[FaultKinds, _Mapping]] = ..., subtasks: _Optional[_Union[Subtasks, _Mapping]] = ..., note: _Optional[str] = ..., reviewer: _Optional[str] = ..., number: _Optional[int] = ..., author: _Optional[str] = ..., answer_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., rule_method: _Optional[str] = ..., rule_faults: _Optional[_Iterable[str]] = ...) -> None: ...

class Annotation(_message.Message):
    __slots__ = ("field", "value", "author", "kind", "version", "set_time")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SET_TIME_FIELD_NUMBER: _ClassVar[int]
    field: str
    value: str
    author: str
    kind: AuthorKind
    version: str
    set_time: _timestamp_pb2.Timestamp
    def __init__(self, field: _Optional[str] = ..., value: _Optional[str] = ..., author: _Optional[str] = ..., kind: _Optional[_Union[AuthorKind, str]] = ..., version: _Optional[str] = ..., set_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Review(_message.Message):
    __slots__ = ("record", "open", "holder", "claim_end_time", "annotations", "answers")
    RECORD_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    CLAIM_END_TIME_FIELD_NUMBER: _ClassVar[int]
    ANNOTATIONS_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    record: _data_pb2.EpisodeRecord
    open: bool
    holder: str
    claim_end_time: _timestamp_pb2.Timestamp
    annotations: _containers.RepeatedCompositeFieldContainer[Annotation]
    answers: _containers.RepeatedCompositeFieldContainer[ReviewAnswer]
    def __init__(self, record: _Optional[_Union[_data_pb2.EpisodeRecord, _Mapping]] = ..., open: bool = ..., holder: _Optional[str] = ..., claim_end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., annotations: _Optional[_Iterable[_Union[Annotation, _Mapping]]] = ..., answers: _Optional[_Iterable[_Union[ReviewAnswer, _Mapping]]] = ...) -> None: ...

class RuleAgreement(_message.Message):
    __slots__ = ("method", "kind", "both", "rule_only", "person_only", "precision", "recall")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    BOTH_FIELD_NUMBER: _ClassVar[int]
    RULE_ONLY_FIELD_NUMBER: _ClassVar[int]
    PERSON_ONLY_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    RECALL_FIELD_NUMBER: _ClassVar[int]
    method: str
    kind: str
    both: int
    rule_only: int
    person_only: int
    precision: float
    recall: float
    def __init__(self, method: _Optional[str] = ..., kind: _Optional[str] = ..., both: _Optional[int] = ..., rule_only: _Optional[int] = ..., person_only: _Optional[int] = ..., precision: _Optional[float] = ..., recall: _Optional[float] = ...) -> None: ...
