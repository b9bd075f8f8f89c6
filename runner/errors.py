"""What can go wrong in the runner."""


class RunnerError(Exception):
    """Base of this room's errors."""


class NoWorker(RunnerError):
    """Ray does not start a worker process: this runner cannot work, and its next instance may."""


class RayLost(RunnerError):
    """A part of Ray that workers need is gone for good: this instance ends, and the next one starts another Ray."""


class WorkerLost(RunnerError):
    """A worker process died while it carried out an attempt."""


class AttemptError(RunnerError):
    """The attempt ends without success. Carries what the scheduler is told.

    Attributes:
        reason: Name in the error registry.
        retryable: Whether another attempt may do better.
    """

    def __init__(self, reason: str, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.reason = reason
        self.retryable = retryable

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (self.reason, str(self), self.retryable))


class Stopped(AttemptError):
    """The attempt was told to stop."""

    def __init__(self) -> None:
        super().__init__("JOB_CANCELLED", "stopped on request", retryable=False)

    def __reduce__(self) -> tuple[object, ...]:
        return (Stopped, ())


def _rebuild(reason: str, message: str, retryable: bool) -> AttemptError:
    return AttemptError(reason, message, retryable=retryable)
