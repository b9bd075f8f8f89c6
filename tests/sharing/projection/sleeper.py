"""In place of the process that makes projections: one that is busy for hours with its first recording."""

import json
import os
import sys
import time
from pathlib import Path

told = json.load(sys.stdin)
# Beside its folder, which goes with the agreement.
(Path(told["out"]).parents[2] / "sleeper.pid").write_text(str(os.getpid()))
time.sleep(3600.0)
