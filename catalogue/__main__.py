"""The catalogue by hand: `python -m catalogue enter FILE` takes episodes that no scheduler tells of, as imported ones.

One encoded `palaestra.v1.Episode` in base64 a line, on standard input; how many were new is printed. A scheduler may be
using the file at the same time.
"""

import base64
import sys
from pathlib import Path

from catalogue import Catalogue
from catalogue.entry import entries_of


def main(arguments: list[str]) -> int:
    """Run one command and return the exit code: 0 done, 2 wrongly called."""
    if len(arguments) != 2 or arguments[0] != "enter":
        print(__doc__, file=sys.stderr)
        return 2
    catalogue = Catalogue(Path(arguments[1]))
    try:
        bodies = [base64.b64decode(line, validate=True) for line in sys.stdin.buffer.read().split()]
        print(catalogue.add(entries_of(bodies)))
    finally:
        catalogue.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
