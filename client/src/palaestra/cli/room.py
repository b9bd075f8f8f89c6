"""Commands that a room of the venue's software answers, where it is installed beside this client."""

from collections.abc import Sequence

import typer


def ask_room(module: str, words: Sequence[str], *, what: str) -> int:
    """Run `python -m module words` and return its exit code. Raises BadParameter where the room is not installed."""
    import importlib.util
    import subprocess
    import sys

    if importlib.util.find_spec(module) is None:
        raise typer.BadParameter(f"{what} needs the venue's software (palaestra-server) beside this client")
    # -P: no module is taken from the working folder, which may be somebody else's.
    return subprocess.run([sys.executable, "-P", "-m", module, *words], check=False).returncode
