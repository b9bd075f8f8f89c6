"""Where a stream is, without a server."""

from palaestra.streams import EventTail, JobWatch, LogTail
from palaestra.v1 import job_pb2
from palaestra.v1.event_pb2 import Event
from palaestra.v1.job_service_pb2 import LogLine, ReadLogResponse
from palaestra.v1.venue_service_pb2 import WatchEventsResponse


def batch(*sequences: int, upto: int) -> WatchEventsResponse:
    """Return a batch of events."""
    return WatchEventsResponse(events=[Event(sequence=number) for number in sequences], sequence=upto)


def test_events_that_a_server_repeats_are_shown_once() -> None:
    tail = EventTail(2)
    (first,) = tail.take(batch(2, 3, 4, upto=4))
    (second,) = tail.take(batch(4, 7, upto=7))

    assert [event.sequence for event in first.events] == [3, 4]
    assert [event.sequence for event in second.events] == [7]


def test_a_bookmark_moves_the_place_to_go_on_from() -> None:
    """Events that the reader may not see are skipped, and not asked for again."""
    tail = EventTail(2)
    (bookmark,) = tail.take(batch(upto=90))

    assert (list(bookmark.events), bookmark.sequence) == ([], 90)
    assert tail.call().request == type(tail.call().request)(after_sequence=90)


def test_the_place_never_moves_back() -> None:
    tail = EventTail(50)
    (answer,) = tail.take(batch(upto=3))

    assert answer.sequence == 50


def test_log_lines_that_a_server_repeats_are_shown_once() -> None:
    tail = LogTail("vendors/acme/jobs/x", 0, follow=True)
    shown = [
        line.line
        for numbers in ((1, 2), (2, 3), (3,))
        for line in tail.take(ReadLogResponse(lines=[LogLine(line=number) for number in numbers]))
    ]

    assert shown == [1, 2, 3]


def test_a_watch_is_complete_only_when_the_job_has_ended() -> None:
    watch = JobWatch("vendors/acme/jobs/x")
    assert not watch.finished()
    watch.take(job_pb2.Job(state=job_pb2.JOB_STATE_CANCELLING))
    assert not watch.finished()
    watch.take(job_pb2.Job(state=job_pb2.JOB_STATE_FAILED))
    assert watch.finished()
