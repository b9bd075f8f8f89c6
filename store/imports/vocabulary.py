"""The robots that imports know, and what their joints are called in the vocabulary that all bodies share.

The table beside this file is made of the robots' and recordings' own files by `python -m sim.vocabulary.table`: the
store has the data, and needs no simulation.
"""

import difflib
import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from store.errors import ImportRefused

TABLE = Path(__file__).with_name("vocabulary.json")


@dataclass(frozen=True)
class Robot:
    """One robot.

    Attributes:
        model, maker: As in an episode's header.
        body: Its kind of body, a key of `bodies()`; empty where it has no map.
        joints: By canonical name: its own joint, the sign and its own angle in the canonical zero [rad]. The canonical
            angle is `sign * (q - zero_rad)`.
    """

    model: str
    maker: str
    body: str
    joints: Mapping[str, tuple[str, float, float]]


@functools.cache
def _table() -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = json.loads(TABLE.read_text("utf-8"))
    return found


def bodies() -> dict[str, tuple[str, ...]]:
    """Return the canonical joints of each kind of body, in their order."""
    return {name: tuple(joints) for name, joints in _table()["bodies"].items()}  # type: ignore[arg-type]


def robots() -> tuple[str, ...]:
    """Return the names of all robots that are known."""
    return tuple(_table()["robots"])


def find_robot(model: str) -> Robot:
    """Return a robot. Raises ImportRefused for one that is not known, with the closest."""
    row = _table()["robots"].get(model)
    if not isinstance(row, dict):
        close = difflib.get_close_matches(model, robots(), n=1, cutoff=0.4)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ImportRefused(
            f"unknown robot {model[:80]!r}{hint} A mapping's [robot] table with model and maker tells of a new one."
        )
    joints = {name: (str(own), float(sign), float(zero)) for name, (own, sign, zero) in row["joints"].items()}
    return Robot(model, row["maker"], row["body"], joints)
