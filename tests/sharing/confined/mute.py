"""A process that has nothing more to say, and does not end."""

import os
import sys
import time

if __name__ == "__main__":
    sys.stdin.read()
    os.close(1)
    time.sleep(10_000)
