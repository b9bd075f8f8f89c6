"""The highest epoch of each unit, on disk before it counts.

An epoch is a fencing token: it grows with every grant of the unit. Whoever remembers the highest one can
tell a holder of an old lease from the present one, also after `kill -9`, without asking anybody.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from controller.errors import EpochFileError
from palaestra.failpoint import Failpoint

DRAFTED = Failpoint("controller.epochs.drafted", "higher epochs are on the disk beside the file that counts")
RAISED = Failpoint("controller.epochs.raised", "higher epochs are on the disk; nobody may drive under them yet")


class EpochFile:
    """A small JSON file {unit: epoch}, replaced whole and synced, so that it is never half written."""

    def __init__(self, path: Path) -> None:
        """Open the file; one that is not there yet holds nothing.

        Raises:
            EpochFileError: the file is there and cannot be understood. Starting without it would let old
                epochs in, so somebody has to look.
        """
        self._path = path
        self._epochs: dict[str, int] = {}
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return
        try:
            stored = json.loads(text)
        except ValueError as error:
            raise EpochFileError(f"{path}: is no JSON: {error}") from error
        if not isinstance(stored, dict):
            raise EpochFileError(f"{path}: holds {type(stored).__name__}, not units and epochs")
        for unit, epoch in stored.items():
            if isinstance(epoch, bool) or not isinstance(epoch, int) or epoch < 0:
                raise EpochFileError(f"{path}: unit {unit!r} has epoch {epoch!r}")
            self._epochs[unit] = epoch

    def highest(self, unit: str) -> int:
        """Return the highest epoch of the unit that is on disk; 0 if none is."""
        return self._epochs.get(unit, 0)

    def raise_to(self, epochs: Mapping[str, int]) -> None:
        """Write higher epochs and return when they are on disk. Lower ones are ignored.

        Raises:
            OSError: they are not on disk, and `highest` is what it was.
        """
        raised = {unit: epoch for unit, epoch in epochs.items() if epoch > self.highest(unit)}
        if not raised:
            return
        merged = self._epochs | raised
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_suffix(".draft")
        with draft.open("w", encoding="utf-8") as file:
            json.dump(merged, file, sort_keys=True, indent=1)
            file.flush()
            os.fsync(file.fileno())
        DRAFTED()
        draft.replace(self._path)
        # The new name is in the folder, which has to reach the disk as well.
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        RAISED()
        self._epochs = merged
