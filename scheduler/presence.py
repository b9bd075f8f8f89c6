"""Which schedulers are there: a file of each, locked as long as its process lives, with a number that grows.

The lock (flock) is the kernel's: it goes with the process, however that ends, and stays with one that is stopped. The
number tells the two apart. Both are for schedulers on one machine, as those on one SQLite file have to be.
"""

import contextlib
import fcntl
import logging
import os
import signal
import struct
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

# How often it has beaten, and its process id.
_CONTENT = struct.Struct("<QQ")


@dataclass(frozen=True)
class Sighting:
    """What a look at another process found. beats: grows as long as it works; pid: 0 if its file is gone."""

    alive: bool
    beats: int = 0
    pid: int = 0


class Presence:
    """This process's own file, from construction until `leave` or its end. Raises OSError."""

    def __init__(self, folder: Path, instance: str) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self._path = folder / instance
        draft = folder / f".{instance}"
        self._beats = 0
        self._file = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.beat()
            # Under its name it has always been locked: nobody can take it for one that a dead process has left.
            draft.rename(self._path)
        except OSError:
            draft.unlink(missing_ok=True)
            os.close(self._file)
            raise

    def beat(self) -> None:
        """Show that this process works. Raises OSError."""
        self._beats += 1
        os.pwrite(self._file, _CONTENT.pack(self._beats, os.getpid()), 0)

    def leave(self) -> None:
        self._path.unlink(missing_ok=True)
        os.close(self._file)


def look(folder: Path, instance: str) -> Sighting:
    """Return how another process does. Raises OSError if its file is there and cannot be read."""
    try:
        file = os.open(folder / instance, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return Sighting(alive=False)
    try:
        content = os.pread(file, _CONTENT.size, 0)
        beats, pid = _CONTENT.unpack(content) if len(content) == _CONTENT.size else (0, 0)
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return Sighting(alive=True, beats=beats, pid=pid)
        return Sighting(alive=False, beats=beats, pid=pid)
    finally:
        os.close(file)


def living(folder: Path) -> list[int]:
    """Return the process ids of those that are there."""
    found = [look(folder, path.name) for path in _files(folder)]
    return sorted(sighting.pid for sighting in found if sighting.alive)


def sweep(folder: Path) -> None:
    """Remove what dead processes have left."""
    for path in _files(folder):
        with contextlib.suppress(OSError):
            if not look(folder, path.name).alive:
                path.unlink(missing_ok=True)


def kill(folder: Path, instance: str) -> bool:
    """End a process by SIGKILL, stopped or not; return whether that could be ordered.

    Only the process that has the file open: a number alone may have been given to another one since, or mean another
    one in another container.
    """
    pid = look(folder, instance).pid
    try:
        handle = os.pidfd_open(pid)
    except (AttributeError, OSError):
        # Not Linux, or it has just ended, or is not to be seen from here.
        return False
    try:
        ours = (folder / instance).stat()
        # After the handle was taken, so that what is looked at is what is ended.
        held = any(_is(link, ours) for link in Path(f"/proc/{pid}/fd").iterdir())
        if held:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        return held
    except OSError as error:
        log.warning("process %d cannot be ended: %s", pid, error)
        return False
    finally:
        os.close(handle)


def _is(link: Path, file: os.stat_result) -> bool:
    try:
        found = link.stat()
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == (file.st_dev, file.st_ino)


def _files(folder: Path) -> list[Path]:
    # Not the drafts, which are not locked yet.
    return sorted(path for path in folder.iterdir() if path.name[0] != ".") if folder.is_dir() else []
