"""What a nursery runs: `python -m sim.slot_process SOCKET PARENT`, numbers both. Not for people."""

import os
import socket
import sys

from sim.errors import SimError
from sim.slot_process import confine

if __name__ == "__main__":
    try:
        confine.die_with(int(sys.argv[2]))
    except SimError:
        sys.exit(0)
    from sim.slot_process.nursery import serve

    serve(socket.socket(fileno=int(sys.argv[1])))
    # Nothing here needs an orderly end; slots that are left end with this process.
    os._exit(0)
