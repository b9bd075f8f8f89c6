"""Where slot processes come from: a process that has loaded MuJoCo and nothing else, and forks one for each slot.

Loading takes most of a second, a fork some milliseconds. Nothing of a vendor's ever enters the nursery, so each slot
begins clean; it has one thread, so a fork is sound; its children die with it and it dies with the holder.
"""

import contextlib
import gc
import os
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

from sim.errors import SimError, SlotDied
from sim.slot_process import confine, control

_ROOT = Path(__file__).resolve().parents[2]
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR", "TZ")
"""What slot processes get of their holder's environment: no token, no address."""
START_S = 60.0
END_S = 5.0
Becomes = Literal["slot", "cameras"]
"""What a process of the nursery becomes."""


def serve(sock: socket.socket) -> None:
    """Fork slots and tell how they ended until the holder is gone."""
    # All that a slot needs, and before any of them: what is loaded here is shared by all.
    from sim.cameras.serve import serve as serve_cameras
    from sim.slot_process.serve import serve as serve_slot

    programs = {"slot": serve_slot, "cameras": serve_cameras}
    # Here once and not in each of its children, where a kill in between would leave a folder.
    confine.leave_all_folders()
    gc.collect()
    gc.freeze()
    nursery = os.getpid()
    while True:
        try:
            message, fds = control.receive(sock)
        except EOFError:
            return
        if message.get("do") == "end":
            _, status = os.waitpid(int(message["pid"]), 0)
            control.send(sock, {"code": os.waitstatus_to_exitcode(status)})
            continue
        try:
            pid = os.fork()
        except OSError as error:
            # No room for one more: the others of this holder have nothing to do with it.
            control.send(sock, {"refused": str(error)})
            for fd in fds:
                os.close(fd)
            continue
        if pid == 0:
            code = 1
            try:
                sock.close()
                os.setsid()
                confine.die_with(nursery)
                code = programs[message["what"]](socket.socket(fileno=fds[0]), fds[1], fds[2])
            except SimError:
                code = 0
            finally:
                os._exit(code)
        pidfd = os.pidfd_open(pid)
        control.send(sock, {"pid": pid}, pidfd)
        for fd in (pidfd, *fds):
            os.close(fd)


class Nursery:
    """The holder's end of a nursery. For several threads."""

    def __init__(self) -> None:
        """Start it. Linux tells of a starter's death when its *thread* ends, so a thread that lasts starts it."""
        self._lock = threading.Lock()
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="slot-nursery")
        self.holder = os.getpid()
        ours, theirs = control.pair()
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        environment["PYTHONPATH"] = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH", "")])])
        # One thread each: a process with more could not be forked, and worlds are what threads are leased for.
        environment |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
        with theirs:
            self._popen = self._starter.submit(
                subprocess.Popen,
                [sys.executable, "-P", "-m", "sim.slot_process", str(theirs.fileno()), str(self.holder)],
                env=environment,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            ).result()
        ours.settimeout(START_S)
        self._sock = ours
        self.pid = self._popen.pid

    @property
    def lives(self) -> bool:
        """Whether it can start slots: it runs, and this is the process that started it."""
        return self.holder == os.getpid() and self._popen.poll() is None

    def start(self, *fds: int, what: Becomes = "slot") -> tuple[int, int]:
        """Start a process with its socket and eventfds; return its pid and a pidfd. Raises SlotDied."""
        message, got = self._call({"do": "start", "what": what}, *fds)
        if "refused" in message:
            raise SlotDied(f"no process could be started for the slot: {message['refused']}")
        pid = int(message["pid"])
        if not got:
            # Too many are open here. Until its end has been asked for the number is its own.
            os.kill(pid, signal.SIGKILL)
            self.end(pid)
            raise SlotDied("this process has too many open files to hold one more slot")
        return pid, got[0]

    def end(self, pid: int) -> int:
        """Wait for the end of a slot process and return its exit code, negative for a signal; once for each."""
        try:
            return int(self._call({"do": "end", "pid": pid})[0]["code"])
        except SlotDied:
            # Its slots have died with it.
            return -signal.SIGKILL

    def close(self) -> None:
        """End it, and all its slots."""
        self._sock.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(END_S)
        self._starter.shutdown()

    def _call(self, message: dict[str, Any], *fds: int) -> tuple[dict[str, Any], list[int]]:
        with self._lock:
            try:
                control.send(self._sock, message, *fds)
                return control.receive(self._sock)
            except (OSError, EOFError) as error:
                # An answer that comes after all would be taken for the next one's: nobody is asked here again.
                self._popen.kill()
                self.close()
                raise SlotDied(f"the process that starts slots is gone: {error}") from error


_lock = threading.Lock()
_nursery: Nursery | None = None


def nursery() -> Nursery:
    """Return this process's nursery; it is started when it is first asked for, and anew where it has died."""
    global _nursery
    with _lock:
        if _nursery is None or not _nursery.lives:
            if _nursery is not None and _nursery.holder == os.getpid():
                _nursery.close()
            _nursery = Nursery()
        return _nursery
