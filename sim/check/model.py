"""Whether an MJCF model that somebody hands in can be used."""

import re
from pathlib import Path

from sim.check.finding import Finding
from sim.errors import SimError
from sim.mjcf import compile_model, load_mjcf
from sim.model import driven_joints

_FILE = re.compile(r"^(.*?): (?:file .* is missing$|.* lies outside)")
_AT_LINE = re.compile(r"[Ll]ine (\d+)")
_QUOTED = re.compile(r"'([^']+)'|\"([^\"]+)\"")


def check_model(path: Path) -> list[Finding]:
    """Load and compile a model as slots do; its files must lie in its own folder. Raises OSError."""
    text = path.read_text("utf-8", errors="replace")
    try:
        spec = load_mjcf(path.resolve(), path.resolve().parent)
        driven = driven_joints(spec)
        compile_model(spec, label=path.name)
    except SimError as error:
        return [Finding(str(path), _line(str(error), text), "", str(error))]
    if not driven:
        return [Finding(str(path), 1, "", "no actuator drives a joint, so nothing of it can be moved", is_note=True)]
    return []


def _line(reason: str, text: str) -> int:
    """The line that a reason is about: the one it names, or the first with the file or name that it quotes."""
    at = _AT_LINE.search(reason)
    if at is not None:
        return int(at[1])
    words = [match[1] or match[2] for match in _QUOTED.finditer(reason)]
    missing = _FILE.match(reason)
    if missing is not None:
        words.insert(0, missing[1])
    for word in words:
        for number, line in enumerate(text.splitlines(), start=1):
            if f'"{word}"' in line or f"'{word}'" in line:
                return number
    return 1
