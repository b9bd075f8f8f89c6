"""`python -m venue.child PARENT MODULE ARGUMENTS...`: run a module as a process that ends with its supervisor.

A child whose supervisor is gone, killed or not, gets another parent. Looking for that is slower than a parent-death
signal, by a fifth of a second, but such a signal comes when the *thread* that started the child ends, and nobody looks
after a child that does not obey it.
"""

import os
import runpy
import signal
import sys
import threading
import time

LOOK_S = 0.2
# For an orderly end; then the process, and what it has started in its own group, is killed.
GRACE_S = 8.0


def main() -> None:
    parent, module = int(sys.argv[1]), sys.argv[2]
    threading.Thread(target=_end_with, args=(parent,), name="orphan", daemon=True).start()
    sys.argv = [module, *sys.argv[3:]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _end_with(parent: int) -> None:
    """Ask this process to end when `parent` is not its parent any more; kill it if it does not."""
    while os.getppid() == parent:
        time.sleep(LOOK_S)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
