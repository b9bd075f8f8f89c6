"""Confined processes on a Ray cluster: each through a driver of its own, which starts one on whichever node has room.

The driver is a process because Ray ends a process, without a word, whose cluster is gone, and keeps threads and sockets
in it: the room that decides who gets what has none of this. Who ends the driver ends the work: the raylet kills the
workers of a driver that is gone, and the kernel the confined process of a worker that is gone.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from palaestra.channel import is_loopback
from sharing.confined import process
from sharing.confined.fence import Limits
from sharing.confined.parcel import Parcel

DRIVER = "sharing.compute.driver"
JOIN_S = 60.0
"""What joining the cluster and waiting for a node with room may add to the time of a visit [s]."""
_TLS = ("RAY_USE_TLS", "RAY_TLS_SERVER_CERT", "RAY_TLS_SERVER_KEY", "RAY_TLS_CA_CERT")


class OpenCluster(Exception):
    """The cluster's nodes would tell each other data and keys in clear text."""


def check_private(address: str, environment: Mapping[str, str]) -> None:
    """Raise OpenCluster for a cluster on other machines whose connections nobody encrypts (Ray's RAY_USE_TLS)."""
    if not is_loopback(address) and environment.get("RAY_USE_TLS") != "1":
        raise OpenCluster(
            f"the Ray cluster at {address} is on other machines and RAY_USE_TLS is not 1: what is shared would cross "
            "the network in clear text"
        )


class Cluster:
    """Runs confined processes on a cluster, as `sharing.confined.process.run` does on this machine."""

    def __init__(self, address: str) -> None:
        """Name a cluster, HOST:PORT of its head. Raises OpenCluster."""
        check_private(address, os.environ)
        self._address = address

    def run(
        self, module: str, told: Mapping[str, Any], parcel: Parcel, limits: Limits, still: Callable[[], None]
    ) -> bytes:
        """Run a module as a confined process somewhere in the cluster. Raises as `sharing.confined.process.run`."""
        asked = {"address": self._address, "module": module, "told": dict(told), "time_s": limits.time_s}
        longer = replace(limits, time_s=limits.time_s + JOIN_S)
        return process.run(DRIVER, asked, parcel, longer, still, inherited=_TLS)
