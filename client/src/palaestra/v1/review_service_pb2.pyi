import datetime

from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from palaestra.v1 import review_pb2 as _review_pb2
from palaestra.v1 import rules_pb2 as _rules_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReviewFilter(_message.Message):
    __slots__ = ("robot", "robot_model", "maker", "scenario", "fault", "quality_min", "quality_max")
    ROBOT_FIELD_NUMBER: _ClassVar[int]
    ROBOT_MODEL_FIELD_NUMBER: _ClassVar[int]
    MAKER_FIELD_NUMBER: _ClassVar[int]
    SCENARIO_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    QUALITY_MIN_FIELD_NUMBER: _ClassVar[int]
    QUALITY_MAX_FIELD_NUMBER: _ClassVar[int]
    robot: str
    robot_model: str
    maker: str
    scenario: str
    fault: str
    quality_min: float
    quality_max: float
    def __init__(self, robot: _Optional[str] = ..., robot_model: _Optional[str] = ..., maker: _Optional[str] = ..., scenario: _Optional[str] = ..., fault: _Optional[str] = ..., quality_min: _Optional[float] = ..., quality_max: _Optional[float] = ...) -> None: ...

class ListReviewsRequest(_message.Message):
    __slots__ = ("parent", "page_size", "page_token", "filter", "order")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    parent: str
    page_size: int
    page_token: str
    filter: ReviewFilter
    order: _review_pb2.ReviewOrder
    def __init__(self, parent: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., filter: _Optional[_Union[ReviewFilter, _Mapping]] = ..., order: _Optional[_Union[_review_pb2.ReviewOrder, str]] = ...) -> None: ...

class ListReviewsResponse(_message.Message):
    __slots__ = ("reviews", "next_page_token")
    REVIEWS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    reviews: _containers.RepeatedCompositeFieldContainer[_review_pb2.Review]
    next_page_token: str
    def __init__(self, reviews: _Optional[_Iterable[_Union[_review_pb2.Review, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ClaimReviewRequest(_message.Message):
    __slots__ = ("parent", "filter", "order", "length", "another", "reviewer")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    ANOTHER_FIELD_NUMBER: _ClassVar[int]
    REVIEWER_FIELD_NUMBER: _ClassVar[int]
    parent: str
    filter: ReviewFilter
    order: _review_pb2.ReviewOrder
    length: _duration_pb2.Duration
    another: bool
    reviewer: str
    def __init__(self, parent: _Optional[str] = ..., filter: _Optional[_Union[ReviewFilter, _Mapping]] = ..., order: _Optional[_Union[_review_pb2.ReviewOrder, str]] = ..., length: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., another: bool = ..., reviewer: _Optional[str] = ...) -> None: ...

class ClaimReviewResponse(_message.Message):
    __slots__ = ("review",)
    REVIEW_FIELD_NUMBER: _ClassVar[int]
    review: _review_pb2.Review
    def __init__(self, review: _Optional[_Union[_review_pb2.Review, _Mapping]] = ...) -> None: ...

class GetReviewRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class AnswerReviewRequest(_message.Message):
    __slots__ = ("name", "answer")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    name: str
    answer: _review_pb2.ReviewAnswer
    def __init__(self, name: _Optional[str] = ..., answer: _Optional[_Union[_review_pb2.ReviewAnswer, _Mapping]] = ...) -> None: ...

class ReleaseReviewRequest(_message.Message):
    __slots__ = ("name", "reviewer")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REVIEWER_FIELD_NUMBER: _ClassVar[int]
    name: str
    reviewer: str
    def __init__(self, name: _Optional[str] = ..., reviewer: _Optional[str] = ...) -> None: ...

class GetReviewFiguresRequest(_message.Message):
    __slots__ = ("parent",)
    PARENT_FIELD_NUMBER: _ClassVar[int]
    parent: str
    def __init__(self, parent: _Optional[str] = ...) -> None: ...

class ReviewFigures(_message.Message):
    __slots__ = ("agreements", "open_count", "claimed_count", "accepted_count", "rejected_count")
    AGREEMENTS_FIELD_NUMBER: _ClassVar[int]
    OPEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    CLAIMED_COUNT_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_COUNT_FIELD_NUMBER: _ClassVar[int]
    REJECTED_COUNT_FIELD_NUMBER: _ClassVar[int]
    agreements: _containers.RepeatedCompositeFieldContainer[_review_pb2.RuleAgreement]
    open_count: int
    claimed_count: int
    accepted_count: int
    rejected_count: int
    def __init__(self, agreements: _Optional[_Iterable[_Union[_review_pb2.RuleAgreement, _Mapping]]] = ..., open_count: _Optional[int] = ..., claimed_count: _Optional[int] = ..., accepted_count: _Optional[int] = ..., rejected_count: _Optional[int] = ...) -> None: ...
