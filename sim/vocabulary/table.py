"""The vocabulary as one table of plain data, for rooms that do not simulate.

`python -m sim.vocabulary.table FILE` writes it of the files of all robots and recordings; a test holds the table that
the store has against it.
"""

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

from sim.catalog import CONFIGS
from sim.vocabulary.names import BODIES


def table() -> dict[str, Any]:
    """Return {"bodies": {body: canonical names}, "robots": {id: {maker, body, joints: {name: [own, sign, zero]}}}}."""
    robots: dict[str, Any] = {}
    for folder in ("robots", "recordings"):
        for path in sorted((CONFIGS / folder).glob("*.toml")):
            said = tomllib.loads(path.read_text("utf-8"))
            words = said.get("vocabulary", {})
            robots[said["id"]] = {
                "maker": said.get("maker") or said["source"].partition(",")[0],
                "body": words.get("body", ""),
                "joints": {
                    name: [row["joint"], row.get("sign", 1), row.get("zero_rad", 0.0)]
                    for name, row in words.get("joints", {}).items()
                },
            }
    return {"bodies": {body: [joint.name for joint in joints] for body, joints in BODIES.items()}, "robots": robots}


def text() -> str:
    """Return the table as the store keeps it: one robot a line."""
    found = table()
    parts = [
        f'"{part}": {{\n' + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in found[part].items()) + "\n}"
        for part in ("bodies", "robots")
    ]
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), "utf-8")
