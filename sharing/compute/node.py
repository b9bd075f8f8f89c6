"""What a node of a cluster does for a visit: it starts the confined process, and is not itself what visits."""

from collections.abc import Mapping
from typing import Any

from sharing.confined import process
from sharing.confined.fence import Limits
from sharing.confined.parcel import Place
from sharing.confined.sealed import Sealed, opened


def confined(
    sealed: Sealed,
    key: bytes,
    files: dict[str, list[Place]],
    module: str,
    told: Mapping[str, Any],
    limits: Limits,
) -> bytes:
    """Return what a confined process on this node said. Raises WorkEnded."""
    with opened(sealed, key, files) as parcel:
        return process.run(module, told, parcel, limits, _nothing)


def _nothing() -> None:
    """Whether the work may go on is asked where the decision is; that ends this process."""
