"""A folder that appears whole or not at all."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from store.errors import ExportRefused
from store.objects import room_for, sync_folder


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder to fill; when the block ends without error it becomes `target` by one rename.

    A killed process leaves a hidden `.<name>.<random>.partial` beside the target, never a half target.

    Raises:
        ExportRefused: The target exists and is not an empty folder.
        StoreFull: The disk is full; everything written was removed.
    """
    _check_free(target)
    partial = target.parent / f".{target.name}.{secrets.token_hex(8)}.partial"
    try:
        with room_for(str(target)):
            partial.mkdir(mode=0o700, parents=True)
            yield partial
            _sync_tree(partial)
            _check_free(target)
            os.rename(partial, target)
            sync_folder(target.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _check_free(target: Path) -> None:
    if target.is_symlink() or (target.exists() and (not target.is_dir() or any(target.iterdir()))):
        raise ExportRefused(f"target {target} exists and is not an empty folder")


def _sync_tree(root: Path) -> None:
    for folder, _, names in os.walk(root):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                os.fsync(file.fileno())
        sync_folder(Path(folder))
