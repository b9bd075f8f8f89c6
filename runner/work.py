"""From the kind of a job to the function that does it."""

from collections.abc import Callable

from palaestra.v1 import job_pb2
from runner.attempt import Attempt
from runner.check import check
from runner.collect import collect
from runner.errors import AttemptError
from runner.evaluate import evaluate
from runner.serve import serve
from runner.train import train

WORK: dict[str, Callable[[Attempt], job_pb2.JobResult]] = {
    "collect": collect,
    "train": train,
    "evaluate": evaluate,
    "check": check,
    "serve": serve,
}


def carry_out(attempt: Attempt) -> job_pb2.JobResult:
    """Do the job's work. Raises AttemptError."""
    kind = attempt.job.WhichOneof("work") or ""
    if kind not in WORK:
        raise AttemptError("UNKNOWN_WORK", f"this runner does not know work {kind!r}", retryable=False)
    return WORK[kind](attempt)
