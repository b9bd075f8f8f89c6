"""Palaestra's SDK: submit training jobs to a venue, follow them, read what came out.

    import palaestra
    from palaestra import jobs

    with palaestra.Client.connect() as client:
        job = client.submit(jobs.train("reach", "own_arm", iterations=20))
        print(client.wait(job.name).result.return_after)

Everything is loaded when it is first used, so that `import palaestra` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from palaestra.aio import AsyncClient
    from palaestra.client import Client, connect
    from palaestra.errors import PalaestraError, Unreachable

__all__ = ["AsyncClient", "Client", "PalaestraError", "Unreachable", "connect"]

_HOMES = {
    "AsyncClient": "palaestra.aio",
    "Client": "palaestra.client",
    "PalaestraError": "palaestra.errors",
    "Unreachable": "palaestra.errors",
    "connect": "palaestra.client",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'palaestra' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
