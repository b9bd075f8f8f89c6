"""Says at the runner's start what slot processes give up on this machine before they load a model."""

import json
import logging
import subprocess
import sys

log = logging.getLogger(__name__)
PATIENCE_S = 60.0


def report() -> None:
    """Log each layer of the sandbox, those that are missing as warnings. A process of its own finds out, in 0.2 s."""
    words = [sys.executable, "-m", "sim", "sandbox", "--json"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
        layers = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        log.warning("what slots give up on this machine cannot be told: %s", error)
        return
    for layer in layers:
        level = logging.INFO if layer["holds"] else logging.WARNING
        log.log(level, "slots, %s: %s%s", layer["name"], "" if layer["holds"] else "MISSING, ", layer["what"])
