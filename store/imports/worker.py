"""The process that reads a foreign file, confined before it opens it: `python -m store.imports.worker`.

It is told on standard input what to read, answers on standard output in frames, and has no other way out.
"""

import json
import os
import sys
from dataclasses import asdict, replace
from pathlib import Path

from store.errors import ImportRefused
from store.imports import formats, frames
from store.imports.confine import Limits, confine
from store.imports.raw import Options, checked, describe


def main() -> int:
    """Read one source. Returns the exit code: 0 also for a refusal, which is an answer."""
    told = json.load(sys.stdin)
    path, options = Path(told["path"]), Options(**told["options"])
    # What the format needs is loaded first; from then on nothing is read but the source.
    out = os.fdopen(os.dup(1), "wb", buffering=1 << 20)
    os.dup2(2, 1)
    found = formats.find(told["format"])
    held = confine(path, Limits(**told["limits"]))
    frames.write_table(out, {"kind": "confined", "by": held})
    count = 0
    try:
        for episode in found.read(path, options):
            checked(episode)
            if told["describe"]:
                said = {**asdict(replace(episode, signals=())), "signals": describe(episode)}
                frames.write_table(out, {"kind": "description", **said})
            else:
                frames.write_episode(out, episode)
            out.flush()
            count += 1
        frames.write_table(out, {"kind": "end", "episodes": count})
    except ImportRefused as error:
        frames.write_table(out, {"kind": "refused", "reason": str(error)[:2000]})
    except MemoryError:
        frames.write_table(out, {"kind": "refused", "reason": f"{path.name}: takes more memory than an import may"})
    except Exception as error:
        # Whatever a format did not foresee is its source's fault as far as the caller is concerned.
        reason = f"{path.name}: broken: {type(error).__name__}: {str(error)[:500]}"
        frames.write_table(out, {"kind": "refused", "reason": reason})
    out.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
