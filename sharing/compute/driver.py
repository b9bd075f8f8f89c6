"""One visit on a Ray cluster: `python -m sharing.compute.driver`. The only file of this room that knows Ray.

It is told what a confined process is told, the cluster's address and the module; it says what that one said.
"""

import json
import logging
import os
import sys
from dataclasses import replace
from typing import Any

import ray

from sharing.compute.node import confined
from sharing.confined.fence import Limits
from sharing.confined.sealed import new_key, seal


def main() -> int:
    """Have a node run it. Returns the exit code: 0 with an answer."""
    given = json.load(sys.stdin)
    # Ray greets on both.
    out = os.dup(1)
    os.dup2(2, 1)
    ray.init(address=given["address"], log_to_driver=False, logging_level=logging.WARNING, configure_logging=False)
    key = new_key()
    parcel = ray.put(seal(given["descriptor"], given["size_bytes"], key))
    limits = replace(Limits(**given["limits"]), time_s=given["time_s"])
    # Once only: a visit that is lost is asked for again by whoever wants it, as one that its audit shows.
    task: Any = ray.remote(num_cpus=1, max_retries=0)(confined)
    answer = ray.get(task.remote(parcel, key, given["files"], given["module"], given["told"], limits))
    while answer:
        answer = answer[os.write(out, answer) :]
    return 0


if __name__ == "__main__":
    sys.exit(main())
