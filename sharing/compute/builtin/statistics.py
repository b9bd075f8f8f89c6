"""Mean and standard deviation of each joint's position over all samples: what inputs are scaled by.

Arrays: `mean` and `std`, each (joints,).
"""

from typing import Any

import numpy as np

STATE = "observation.state"


def train(data: Any, parameters: Any) -> tuple[dict[str, Any], dict[str, float]]:
    """Return them, over all samples of all episodes."""
    count = 0
    total: Any = 0.0
    squares: Any = 0.0
    for episode in range(len(data)):
        x = data.signals(episode, (STATE,))[STATE].astype(np.float64)
        count += len(x)
        total = total + x.sum(0)
        squares = squares + np.square(x).sum(0)
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - np.square(mean), 0.0))
    return {"mean": mean, "std": std}, {"samples": float(count)}


def losses(data: Any, arrays: Any, parameters: Any) -> list[float]:
    """Return how far each episode's samples are from the mean, in squared standard deviations."""
    found = []
    for episode in range(len(data)):
        x = data.signals(episode, (STATE,))[STATE]
        found.append(float(np.mean(np.square((x - arrays["mean"]) / (arrays["std"] + 1e-9)))))
    return found
