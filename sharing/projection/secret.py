"""The venue's secret, from which names, marks and shifts of all agreements follow. Whoever has it can undo them."""

import os
import secrets
from pathlib import Path

from store.objects import sync_folder

SIZE_BYTES = 32


def load_secret(path: Path) -> bytes:
    """Return the secret of a file (0600), made where there is none. Raises ValueError for one that is too short.

    It is never renewed: with another one no leak of before could be traced, and every name would change.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(SIZE_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            # Two that start at once: the first one's stays.
            os.link(partial, path)
        except FileExistsError:
            pass
        finally:
            partial.unlink()
        sync_folder(path.parent)
    secret = path.read_bytes()
    if len(secret) < SIZE_BYTES:
        raise ValueError(f"{path.name}: {len(secret)} bytes: a secret has at least {SIZE_BYTES}")
    return secret
