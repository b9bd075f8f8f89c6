"""Streams that survive a cut: each knows where it is, how to go on from there, and what it has shown."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Generic, TypeVar

from google.protobuf.message import Message

from palaestra import calls
from palaestra.calls import Call
from palaestra.v1 import job_pb2
from palaestra.v1.job_pb2 import Job
from palaestra.v1.job_service_pb2 import LogLine, ReadLogResponse
from palaestra.v1.venue_service_pb2 import WatchEventsResponse

R = TypeVar("R", bound=Message)
T = TypeVar("T")

ENDED = frozenset({job_pb2.JOB_STATE_SUCCEEDED, job_pb2.JOB_STATE_FAILED, job_pb2.JOB_STATE_CANCELLED})
"""States that a job does not leave."""


class Stream(ABC, Generic[R, T]):
    """A place in a server's stream."""

    @abstractmethod
    def call(self) -> Call[R]:
        """Return the call that goes on from here."""

    @abstractmethod
    def take(self, response: R) -> Iterable[T]:
        """Move past a response and return what is new in it."""

    @abstractmethod
    def finished(self) -> bool:
        """Return whether a stream that the server closes now is complete; otherwise it was cut."""


class JobWatch(Stream[Job, Job]):
    """A job's changes. After a cut the server starts with the job as it is, shown only if it changed."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._latest: Job | None = None

    def call(self) -> Call[Job]:
        return calls.watch_job(self._name)

    def take(self, response: Job) -> Iterable[Job]:
        if response == self._latest:
            return ()
        self._latest = response
        return (response,)

    def finished(self) -> bool:
        return self._latest is not None and self._latest.state in ENDED


class LogTail(Stream[ReadLogResponse, LogLine]):
    """A job's log lines, each once."""

    def __init__(self, name: str, from_line: int, *, follow: bool) -> None:
        self._name = name
        self._next_line = max(from_line, 1)
        self._follow = follow

    def call(self) -> Call[ReadLogResponse]:
        return calls.read_log(self._name, self._next_line, follow=self._follow)

    def take(self, response: ReadLogResponse) -> Iterable[LogLine]:
        fresh = [line for line in response.lines if line.line >= self._next_line]
        if fresh:
            self._next_line = fresh[-1].line + 1
        return fresh

    def finished(self) -> bool:
        return True


class EventTail(Stream[WatchEventsResponse, WatchEventsResponse]):
    """The venue's events in batches, each event once; it never ends by itself."""

    def __init__(self, after_sequence: int) -> None:
        self._sequence = after_sequence

    def call(self) -> Call[WatchEventsResponse]:
        return calls.watch_events(self._sequence)

    def take(self, response: WatchEventsResponse) -> Iterable[WatchEventsResponse]:
        fresh = [event for event in response.events if event.sequence > self._sequence]
        self._sequence = max([self._sequence, response.sequence, *(event.sequence for event in fresh)])
        return (WatchEventsResponse(events=fresh, sequence=self._sequence, time=response.time),)

    def finished(self) -> bool:
        return False
