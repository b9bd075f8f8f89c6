"""What can go wrong when an episode is run again."""

from runner.errors import RunnerError


class NotComparable(RunnerError):
    """The episode cannot be run again here so that a comparison would mean something; the message says why."""
