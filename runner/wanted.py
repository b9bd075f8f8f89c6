"""What the scheduler wants carried out, put together from what one stream of assignments tells."""

from collections.abc import Mapping

from palaestra.v1 import runner_service_pb2


class Wanted:
    """The attempts that a stream of `RunnerService.WatchAssignments` has told and not ended.

    Attributes:
        complete: Whether everything has been told; until then, an attempt that is not here may be wanted yet.
    """

    def __init__(self) -> None:
        self._assignments: dict[str, runner_service_pb2.Assignment] = {}
        self.complete = False

    @property
    def assignments(self) -> Mapping[str, runner_service_pb2.Assignment]:
        """By the attempt's name, in the order in which they were told."""
        return self._assignments

    def take(self, response: runner_service_pb2.WatchAssignmentsResponse) -> None:
        """Take the stream's next message."""
        for name in response.ended:
            self._assignments.pop(name, None)
        for assignment in response.assignments:
            self._assignments[assignment.attempt] = assignment
        self.complete = self.complete or response.complete

    def unwanted(self, running: Mapping[str, object]) -> list[str]:
        """Return which of the attempts under way are not wanted, as far as that can be said yet."""
        return [name for name in running if name not in self._assignments] if self.complete else []
