"""Decisions on a state that is told as a whole."""

from scheduler import decide as scheduler_decide
from scheduler.standing import Standing
from scheduler.state import Config, Decisions, State


def decide(state: State, config: Config) -> Decisions:
    """Return what is decided at the moment of the state."""
    return scheduler_decide.decide(Standing.of(state), state.now_ns, config)
