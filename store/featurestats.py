"""Statistics of a feature over an episode and over a data set, as LeRobot data sets carry them.

Minimum, maximum, mean and standard deviation of a data set are those of all its rows together. Its quantiles
are the count-weighted means of the episodes' quantiles: an approximation, the one LeRobot's own writer uses.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}


@dataclass(frozen=True)
class FeatureStats:
    """Statistics per dimension, float64 of shape (width,); `quantiles` by the names of `QUANTILES`.

    `low` and `high` of an integer feature are int64, as in the format.
    """

    count: int
    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    quantiles: dict[str, np.ndarray]

    @classmethod
    def of(cls, values: np.ndarray) -> "FeatureStats":
        """Return the statistics of `values`, shape (rows, width), at least one row. Deviation with ddof 0."""
        whole = np.issubdtype(values.dtype, np.integer)
        exact = values.astype(np.float64)
        levels = np.quantile(exact, list(QUANTILES.values()), axis=0)
        return cls(
            count=len(exact),
            low=values.min(axis=0).astype(np.int64 if whole else np.float64),
            high=values.max(axis=0).astype(np.int64 if whole else np.float64),
            mean=exact.mean(axis=0),
            std=exact.std(axis=0),
            quantiles=dict(zip(QUANTILES, levels, strict=True)),
        )

    @classmethod
    def pooled(cls, parts: Sequence["FeatureStats"]) -> "FeatureStats":
        r"""Return the statistics of all parts together.

        $\sigma^2 = \frac{1}{N} \sum_i n_i (\sigma_i^2 + (\mu_i - \mu)^2)$: the law of total variance.
        """
        counts = np.array([part.count for part in parts], np.float64)
        weights = (counts / counts.sum())[:, np.newaxis]
        means = np.stack([part.mean for part in parts])
        mean = (weights * means).sum(axis=0)
        variances = np.stack([part.std for part in parts]) ** 2 + (means - mean) ** 2
        return cls(
            count=int(counts.sum()),
            low=np.min([part.low for part in parts], axis=0),
            high=np.max([part.high for part in parts], axis=0),
            mean=mean,
            std=np.sqrt((weights * variances).sum(axis=0)),
            quantiles={
                name: (weights * np.stack([part.quantiles[name] for part in parts])).sum(axis=0) for name in QUANTILES
            },
        )

    def as_lists(self) -> dict[str, list[float] | list[int]]:
        """Return the statistics under the names of the format, vectors as lists."""
        return {
            "min": self.low.tolist(),
            "max": self.high.tolist(),
            "mean": self.mean.tolist(),
            "std": self.std.tolist(),
            "count": [self.count],
            **{name: level.tolist() for name, level in self.quantiles.items()},
        }
