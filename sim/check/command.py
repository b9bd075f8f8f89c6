"""`python -m sim check` and `python -m sim schemas`."""

import json
from dataclasses import asdict
from pathlib import Path

from sim.check.files import KINDS, check_path


def check(path: Path, menagerie_root: Path | None, *, as_json: bool) -> int:
    """Print what is wrong with a file or a folder of files. Returns 1 if anything is. Raises OSError."""
    found = check_path(path, menagerie_root=menagerie_root)
    wrong = sum(not finding.is_note for finding in found)
    if as_json:
        print(json.dumps({"findings": [asdict(finding) for finding in found], "mistakes": wrong}, indent=2))
    else:
        for finding in found:
            print(finding)
        print(f"{path}: {wrong or 'no'} mistake{'' if wrong == 1 else 's'}")
    return 1 if wrong else 0


def write_schemas(folder: Path) -> int:
    """Write one JSON Schema for each kind of file. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        file = folder / f"{kind.name}.schema.json"
        file.write_text(json.dumps(kind.schema(), indent=2) + "\n", encoding="utf-8")
        print(file)
    return 0
