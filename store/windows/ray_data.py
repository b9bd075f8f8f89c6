"""Windows as a data set of Ray Data, cut where its blocks are made."""

from importlib import import_module
from typing import Any

import numpy as np

from store.errors import WindowsRefused
from store.windows.sample import Batch, Windows


class _Cut:
    """Cuts the batches of one epoch by number. Sent to Ray's workers, which open the cache by its path."""

    def __init__(self, windows: Windows, epoch: int) -> None:
        self._windows, self._epoch = windows, epoch

    def __call__(self, numbers: dict[str, np.ndarray]) -> Batch:
        batches = [self._windows.batch(int(number), self._epoch) for number in numbers["id"]]
        return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def ray_dataset(windows: Windows, *, epoch: int = 0) -> Any:
    """Return an epoch as a `ray.data.Dataset`, a row for each window; split it with `streaming_split`.

    Every worker must see the cache's folder under the same path. Raises WindowsRefused where Ray Data is not installed.
    """
    try:
        ray_data = import_module("ray.data")
    except ImportError as error:
        raise WindowsRefused(f'Ray Data is not installed here ({error}): pip install "ray[data]"') from error
    return ray_data.range(windows.batch_count).map_batches(_Cut(windows, epoch), batch_size=1)
