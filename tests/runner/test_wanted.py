"""What a runner makes of what it is told."""

from palaestra.v1 import runner_service_pb2 as pb
from runner.wanted import Wanted


def response(*told: str, ended: tuple[str, ...] = (), complete: bool = False) -> pb.WatchAssignmentsResponse:
    return pb.WatchAssignmentsResponse(
        assignments=[pb.Assignment(attempt=name) for name in told], ended=ended, complete=complete
    )


def test_until_everything_was_told_nothing_is_unwanted() -> None:
    """A new stream must not stop what its next message names."""
    wanted = Wanted()
    wanted.take(response("a"))
    assert wanted.unwanted({"a": 0, "b": 0, "c": 0}) == []
    wanted.take(response("b", complete=True))
    assert wanted.unwanted({"a": 0, "b": 0, "c": 0}) == ["c"]


def test_what_has_ended_is_unwanted_and_silence_changes_nothing() -> None:
    wanted = Wanted()
    wanted.take(response("a", "b", complete=True))
    wanted.take(response())
    assert wanted.unwanted({"a": 0, "b": 0}) == []
    wanted.take(response("d", ended=("a", "never told")))
    assert list(wanted.assignments) == ["b", "d"]
    assert wanted.unwanted({"a": 0, "b": 0}) == ["a"]
