"""Behaviour cloning by ridge regression: the action of a sample as a linear function of its joint positions.

Arrays: `weights`, shape (joints + 1, actions): the last row is the offset. Parameters: `penalty`, a text such as "1".
"""

from typing import Any

import numpy as np

STATE, ACTION = "observation.state", "action"


def train(data: Any, parameters: Any) -> tuple[dict[str, Any], dict[str, float]]:
    """Return the weights that minimise the squared error over all samples plus the penalty."""
    penalty = float(parameters.get("penalty", "1"))
    gram: Any = 0.0
    moment: Any = 0.0
    for episode in range(len(data)):
        x, y = samples(data, episode)
        gram = gram + x.T @ x
        moment = moment + x.T @ y
    weights = np.linalg.solve(gram + penalty * np.eye(len(gram)), moment)
    return {"weights": weights.astype(np.float32)}, {"episodes": float(len(data))}


def losses(data: Any, arrays: Any, parameters: Any) -> list[float]:
    """Return the mean squared error of each episode."""
    found = []
    for episode in range(len(data)):
        x, y = samples(data, episode)
        found.append(float(np.mean(np.square(x @ arrays["weights"] - y))))
    return found


def samples(data: Any, episode: int) -> tuple[Any, Any]:
    """Return inputs with a one at their end, and actions, each (samples, elements)."""
    signals = data.signals(episode, (STATE, ACTION))
    x = signals[STATE].astype(np.float64)
    return np.hstack([x, np.ones((len(x), 1))]), signals[ACTION].astype(np.float64)
