"""`python -m venue.child PARENT MODULE ARGUMENTS...`: run a module as a process that ends with its supervisor.

Asking the kernel for this from inside the child, and not between fork and exec in the parent, keeps the parent's
threads out of the matter.
"""

import ctypes
import os
import runpy
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, module = int(sys.argv[1]), sys.argv[2]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        # The supervisor went before we asked.
        sys.exit(1)
    sys.argv = [module, *sys.argv[3:]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
