"""Windows for PyTorch, and for Ray Data. Imported only where they are asked for; neither is a dependency.

    loader = torch.utils.data.DataLoader(WindowStream(windows), batch_size=None, num_workers=4)
    for epoch in range(10):
        loader.dataset.epoch = epoch
        for batch in loader: ...

`WindowStream` gives whole batches, in the same order however many workers there are. `WindowSet` gives windows by
number, for samplers of PyTorch's own.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from store.windows.sample import Batch, Windows

Tensors = dict[str, torch.Tensor]


class WindowStream(IterableDataset[Tensors]):  # type: ignore[misc,unused-ignore]
    """The batches of one epoch after the other; give it to a DataLoader with `batch_size=None`.

    Attributes:
        epoch: Which one the next walk is through. Set it between walks; `persistent_workers` keep theirs.
    """

    def __init__(self, windows: Windows, *, epoch: int = 0, start: int = 0) -> None:
        """Begin each walk with batch number `start`, as after a checkpoint."""
        self.windows, self.epoch, self.start = windows, epoch, start

    def __len__(self) -> int:
        return max(0, self.windows.batch_count - self.start)

    def __iter__(self) -> Iterator[Tensors]:
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info is not None else (0, 1)
        # A DataLoader asks its workers in turn, so that every `workers`-th batch of each comes out as all in order.
        for batch in self.windows.batches(self.epoch, start=self.start, worker=worker, workers=workers):
            yield _tensors(batch)


class WindowSet(Dataset[Tensors]):  # type: ignore[misc,unused-ignore]
    """Windows by number, in the order of the episodes."""

    def __init__(self, windows: Windows) -> None:
        self.windows = windows

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, number: int) -> Tensors:
        return {name: torch.as_tensor(values) for name, values in self.windows[number].items()}

    def __getitems__(self, numbers: Sequence[int]) -> list[Tensors]:
        """Cut all of a batch at once; a DataLoader asks for this where there is one."""
        batch = _tensors(self.windows.take(np.asarray(numbers)))
        return [{name: values[row] for name, values in batch.items()} for row in range(len(numbers))]


def _tensors(batch: Batch) -> Tensors:
    return {name: torch.from_numpy(values) for name, values in batch.items()}
