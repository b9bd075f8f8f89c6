"""What a slot process runs: `python -m sim.slot_process CONTROL REQUEST RESPONSE PARENT`, numbers all. Not for people."""

import os
import socket
import sys

from sim.errors import SimError
from sim.slot_process import confine

if __name__ == "__main__":
    control, request, response, parent = (int(word) for word in sys.argv[1:])
    try:
        confine.die_with(parent)
    except SimError:
        sys.exit(0)
    from sim.slot_process.serve import serve

    code = serve(socket.socket(fileno=control), request, response)
    # Nothing here needs an orderly end, and the worlds' memory is many small pieces.
    os._exit(code)
