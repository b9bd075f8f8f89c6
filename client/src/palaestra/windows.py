"""Training windows of a data set's version: what `palaestra.data.windows` does.

What cuts them is the venue's software, `store.windows`, where it is installed beside this client; nothing that the SDK
imports may need NumPy. Episodes come from a folder of the store on this machine, or from the venue over HTTP.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palaestra import login
from palaestra.errors import PalaestraError, Unreachable
from palaestra.v1.episode_pb2 import Episode

if TYPE_CHECKING:
    from palaestra.client import Client

Progress = Callable[[int, int], None]


def windows(
    version: str,
    horizon: Mapping[str, Sequence[int]] | None = None,
    *,
    cache: Path | str,
    client: "Client | None" = None,
    profile: str | None = None,
    objects: Path | str | None = None,
    signals: Sequence[str] = (),
    cameras: Sequence[str] = (),
    rate_hz: float | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Any:
    """Return random windows of a data set's version, as `store.windows.Windows`.

    The first call makes a cache of the version's episodes; later ones, from any process, open it.

    Args:
        version: Its name, or "{dataset}/{number}".
        horizon: For each signal or camera the offsets from the anchor, in steps: `{"action": range(64)}`.
        cache: Folder of caches, on a disk of this machine.
        client: Who asks; None: the stored login `profile`.
        objects: The store's folder of objects, where this machine sees it, or its address. None: episodes are fetched
            from the venue by the stored login and kept in the folder of caches.
        signals, cameras: What to keep of the episodes; without signals all numbers.
        rate_hz: Even steps of this rate; None: rows as recorded.
        progress: Is told how many episodes are in the cache, of how many.
        options: What else `store.windows.Windows` takes: `delta_timestamps`, `batch_size`, `seed`, `whole`,
            `drop_last`, `rank`, `ranks`.

    Raises:
        PalaestraError: The venue's reason; INVALID_FIELD where the venue's software is not installed, or the login
            names no address for HTTP; Unreachable where an episode does not come whole.
        store.StoreError: The episodes do not fit each other, the cache is damaged, or the disk is full.
    """
    store = _store()
    if client is None:
        from palaestra.client import Client

        with Client.connect(profile) as own:
            episodes = list(own.data.episodes(version))
    else:
        episodes = list(client.data.episodes(version))
    folder = Path(cache)
    if objects is None:
        kept = store.LocalObjects(folder / "objects")
        fetch(episodes, kept, login.find(os.environ, profile), folder)
    else:
        kept = store.open_objects(str(objects), folder / "objects")
    cutting = import_module("store.windows")
    view = cutting.View(tuple(signals), rate_hz, tuple(cameras))
    digests = [episode.content.sha256 for episode in episodes]
    return cutting.Windows(cutting.build_cache(kept, digests, folder, view, progress=progress), horizon, **options)


def fetch(episodes: Iterable[Episode], objects: Any, who: login.Login, folder: Path) -> None:
    """Bring the episodes that are not there from the venue into a local store; each whole, by its hash, or not at all.

    Raises:
        PalaestraError: The venue's reason; INVALID_FIELD where the login names no address for HTTP.
        Unreachable: It does not answer, or sends something else than the episode.
    """
    from palaestra.download import download

    have = set(objects.digests())
    for episode in episodes:
        digest = episode.content.sha256
        if digest in have:
            continue
        if not who.api_url:
            raise PalaestraError("INVALID_FIELD", "the login names no api_url: log in again with the venue's file")
        url, out = f"{who.api_url.rstrip('/')}/v1/{episode.name}/content", folder / f".{digest}.{os.getpid()}.parquet"
        try:
            download(
                url, who.token, out, show=False, tls_root=who.tls_root, is_whole=lambda path: bool(path.stat().st_size)
            )
            found = _hash_of(out)
            if found != digest:
                raise Unreachable(f"{episode.name}: what came has the hash {found} instead of {digest}")
            objects.put_file(out, move=True)
        finally:
            out.unlink(missing_ok=True)
        have.add(digest)


def _hash_of(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _store() -> Any:
    try:
        return import_module("store")
    except ModuleNotFoundError as error:
        message = "windows need the venue's software (palaestra-server) beside this client"
        raise PalaestraError("INVALID_FIELD", f"{message}: {error.name} is not installed") from error
