"""EnvPool's humanoid, turn by turn, for `gymnasium_peers`: run by a Python that has EnvPool, which ours need not be.

A line on the standard input, `prepare` or `go`, is a reset or so many steps under the actions of the first line (JSON:
steps, environments, numbers); a line on the output says that it is done. Needs nothing of this project.
"""

import json
import sys

import envpool
import numpy as np


def main() -> None:
    """Serve until the input ends."""
    actions = np.array(json.loads(sys.stdin.readline()), np.float64)
    pool = envpool.make_gymnasium(
        "Humanoid-v4", num_envs=actions.shape[1], num_threads=1, seed=1, terminate_when_unhealthy=False
    )
    pool.reset()
    print(f"ready {envpool.__version__}", flush=True)
    for line in sys.stdin:
        if line.strip() == "prepare":
            pool.reset()
        else:
            for action in actions:
                pool.step(action)
        print("done", flush=True)


if __name__ == "__main__":
    main()
