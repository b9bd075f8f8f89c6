"""Behaviour cloning by a network of one hidden layer, trained by Adam over random samples of all episodes.

Arrays: `w1` (joints, hidden), `b1` (hidden,), `w2` (hidden, actions), `b2` (actions,), `mean` and `std` (joints,).
Parameters: `hidden` (64), `steps` (500), `batch` (256), `seed` (0).
"""

from typing import Any

import numpy as np

STATE, ACTION = "observation.state", "action"
RATE, DECAY = 3e-3, 1e-4


def train(data: Any, parameters: Any) -> tuple[dict[str, Any], dict[str, float]]:
    """Return the network after its last step, and its mean squared error over the last tenth of the steps."""
    hidden = min(int(parameters.get("hidden", 64)), 256)
    steps, batch = min(int(parameters.get("steps", 500)), 20_000), min(int(parameters.get("batch", 256)), 4_096)
    chance = np.random.default_rng(int(parameters.get("seed", 0)))
    pairs = [samples(data, episode) for episode in range(len(data))]
    x, y = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    mean, std = x.mean(0), x.std(0) + 1e-6
    net = [
        chance.normal(size=(x.shape[1], hidden)) / np.sqrt(x.shape[1]),
        np.zeros(hidden),
        chance.normal(size=(hidden, y.shape[1])) / np.sqrt(hidden),
        np.zeros(y.shape[1]),
    ]
    first, second = [np.zeros_like(part) for part in net], [np.zeros_like(part) for part in net]
    seen = []
    for step in range(1, steps + 1):
        chosen = chance.integers(len(x), size=batch)
        inputs = (x[chosen] - mean) / std
        layer = np.tanh(inputs @ net[0] + net[1])
        error = layer @ net[2] + net[3] - y[chosen]
        seen.append(float(np.mean(np.square(error))))
        back = 2 * error / error.size
        inner = (back @ net[2].T) * (1 - layer**2)
        gradients = [inputs.T @ inner, inner.sum(0), layer.T @ back, back.sum(0)]
        for place, gradient in enumerate(gradients):
            gradient = gradient + DECAY * net[place]
            first[place] = 0.9 * first[place] + 0.1 * gradient
            second[place] = 0.999 * second[place] + 0.001 * gradient**2
            size = RATE * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
            net[place] = net[place] - size * first[place] / (np.sqrt(second[place]) + 1e-8)
    names = ("w1", "b1", "w2", "b2", "mean", "std")
    arrays = {name: np.asarray(part, np.float32) for name, part in zip(names, [*net, mean, std], strict=True)}
    return arrays, {"loss": float(np.mean(seen[-max(1, steps // 10) :])), "episodes": float(len(data))}


def losses(data: Any, arrays: Any, parameters: Any) -> list[float]:
    """Return the mean squared error of each episode."""
    found = []
    for episode in range(len(data)):
        x, y = samples(data, episode)
        layer = np.tanh((x - arrays["mean"]) / arrays["std"] @ arrays["w1"] + arrays["b1"])
        found.append(float(np.mean(np.square(layer @ arrays["w2"] + arrays["b2"] - y))))
    return found


def samples(data: Any, episode: int) -> tuple[Any, Any]:
    """Return inputs and actions, each (samples, elements)."""
    signals = data.signals(episode, (STATE, ACTION))
    return signals[STATE].astype(np.float64), signals[ACTION].astype(np.float64)
