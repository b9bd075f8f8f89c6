"""Training windows: a sealed cache of a data set's episodes, and random windows from it at the speed of memory.

    cache = build_cache(objects, digests, Path("cache"), View(rate_hz=50.0))
    windows = Windows(cache, {"observation.state": range(-15, 1), "action": range(64)}, batch_size=256, seed=7)
    for batch in windows.batches(epoch=0):
        ...
    loader = torch.utils.data.DataLoader(iterable_dataset(windows), batch_size=None, num_workers=4)

`palaestra.data.windows` does it by the name of a version.
"""

from store.windows.build import build_cache
from store.windows.cache import Cache, open_cache
from store.windows.sample import PAD, Windows
from store.windows.view import View

__all__ = ["PAD", "Cache", "View", "Windows", "build_cache", "open_cache"]
