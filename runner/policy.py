"""A linear policy on normalised observations, and how it is kept: as JSON, so that nobody ever unpickles it.

`action = W (obs - mean) / std`, clipped by the slot to [-1, 1]. Mania, Guy and Recht (2018) show that this class of
policies, with this normalisation, is enough for MuJoCo locomotion.
"""

import json
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from runner.errors import AttemptError

Array = npt.NDArray[np.float64]
# Observations that hardly vary would be blown up by dividing by their deviation.
STD_MIN = 1e-3
BYTES_MAX = 64 * 1024 * 1024
# Far beyond any policy that does something, and far from where products of them overflow.
VALUE_MAX = 1e9


class Policy(Protocol):
    """What drives worlds."""

    def act(self, obs: Array) -> Array:
        """Return actions for observations (N, obs_size), (N, action_size)."""
        ...

    def reset(self) -> None:
        """All worlds begin an episode."""
        ...


@dataclass(frozen=True)
class LinearPolicy:
    """Weights for one task and robot model.

    Attributes:
        weights: (action_size, obs_size).
        mean, std: Of the observations, (obs_size,).
    """

    task: str
    robot_model: str
    weights: Array
    mean: Array
    std: Array

    @classmethod
    def zero(cls, task: str, robot_model: str, obs_size: int, action_size: int) -> "LinearPolicy":
        """Return the policy that always asks for the base pose."""
        return cls(task, robot_model, np.zeros((action_size, obs_size)), np.zeros(obs_size), np.ones(obs_size))

    def act(self, obs: Array) -> Array:
        """Return actions for observations (N, obs_size), (N, action_size)."""
        return ((obs - self.mean) / self.std) @ self.weights.T

    def reset(self) -> None:
        """Nothing is remembered between steps."""

    def to_json(self) -> bytes:
        """Return the policy as JSON; floats keep all their bits."""
        table = {
            "kind": "linear",
            "task": self.task,
            "robot_model": self.robot_model,
            "weights": self.weights.tolist(),
            "mean": self.mean.tolist(),
            "std": self.std.tolist(),
        }
        return json.dumps(table).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "LinearPolicy":
        """Read what `to_json` wrote. Raises AttemptError BROKEN_MODEL for anything else."""
        try:
            if len(data) > BYTES_MAX:
                raise ValueError(f"{len(data)} bytes, at most {BYTES_MAX}")
            table = json.loads(data)
            if table["kind"] != "linear":
                raise ValueError(f"kind {str(table['kind'])[:50]!r}, not 'linear'")
            task, robot_model = table["task"], table["robot_model"]
            if not (isinstance(task, str) and isinstance(robot_model, str)):
                raise TypeError("task and robot_model must be text")
            weights, mean, std = (np.array(table[key], dtype=np.float64) for key in ("weights", "mean", "std"))
            if weights.ndim != 2 or mean.shape != (weights.shape[1],) or std.shape != mean.shape:
                raise ValueError(f"shapes {weights.shape}, {mean.shape}, {std.shape} do not fit together")
            # Comparisons with NaN are false.
            if not all((np.abs(array) <= VALUE_MAX).all() for array in (weights, mean, std)):
                raise ValueError(f"a number is not finite, or beyond {VALUE_MAX:g}")
            if not (std >= STD_MIN).all():
                raise ValueError(f"a deviation is below {STD_MIN:g}")
            return cls(task, robot_model, weights, mean, std)
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise AttemptError("BROKEN_MODEL", f"not a policy of ours: {error}", retryable=False) from error

    def check_fits(self, task: str, robot_model: str, obs_size: int, action_size: int) -> None:
        """Raise AttemptError unless the policy is for this task and robot."""
        if (self.task, self.robot_model) != (task, robot_model) or self.weights.shape != (action_size, obs_size):
            raise AttemptError(
                "WORK_FAILED",
                f"the policy is for task {self.task} on {self.robot_model} with shape {self.weights.shape}, "
                f"not for {task} on {robot_model} with shape {(action_size, obs_size)}",
                retryable=False,
            )
