"""The worker of compute jobs without its fence: the mutant beside which the attacks on the fence stand."""

import sys

from sharing.compute import worker
from sharing.confined import fence


def _none(limits: fence.Limits, parcel_bytes: int) -> None:
    """Put up nothing."""


if __name__ == "__main__":
    fence.stand = _none  # type: ignore[assignment]
    sys.exit(worker.main())
