"""What a collection has recorded so far: its checkpoint, by which a later attempt records what is missing.

The scheduler counts every episode in the catalogue, also those that a fault cut short; only the runner knows which.
"""

import json
from dataclasses import dataclass

from runner.attempt import Attempt
from runner.errors import AttemptError


@dataclass
class Tally:
    """Counts over all attempts of one job.

    Attributes:
        aborted: Episodes in the catalogue that were cut short, and so do not count as recorded.
        rounds: Rounds of worlds of which every episode is in the catalogue.
    """

    aborted: int = 0
    rounds: int = 0

    @classmethod
    def of(cls, attempt: Attempt) -> "Tally":
        """Return what the earlier attempts left. Raises AttemptError WORK_FAILED if it cannot be read."""
        if not attempt.assignment.HasField("checkpoint"):
            return cls()
        try:
            table = json.loads(attempt.fetch(attempt.assignment.checkpoint))
            return cls(int(table["aborted"]), int(table["rounds"]))
        except (ValueError, KeyError, TypeError) as error:
            raise AttemptError("WORK_FAILED", f"the checkpoint cannot be read: {error}", retryable=False) from error

    def save(self, attempt: Attempt) -> None:
        """Leave the counts to later attempts. Raises Stopped, AttemptError."""
        attempt.save_checkpoint(json.dumps({"aborted": self.aborted, "rounds": self.rounds}).encode())
