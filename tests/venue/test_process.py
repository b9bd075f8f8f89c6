"""Supervised children: started again, stopped, killed, and never left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from venue import process as module
from venue.process import Process, session_members

ROOT = Path(__file__).parents[2]
PATIENCE_S = 30.0
SLEEPS = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
)
# A child with a child of its own, which does not listen either and survives its parent.
PARENT = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {STUBBORN!r}]); {SLEEPS}"


def eventually(what: str, holds: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < give_up_s, f"never: {what}"
        time.sleep(0.02)


def python(folder: Path, code: str) -> Process:
    return Process("child", [sys.executable, "-c", code], folder)


def up(process: Process, lines: int = 1) -> Process:
    process.start()
    eventually("up", lambda: process.tail().count("up") >= lines)
    return process


def end(process: Process, patience_s: float = PATIENCE_S) -> None:
    process.terminate()
    process.wait(time.monotonic() + patience_s)


def test_a_child_that_is_killed_is_started_again_and_its_end_is_known(tmp_path: Path) -> None:
    child = up(python(tmp_path, SLEEPS))
    first = child.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    eventually("again", child.watch)

    assert child.pid not in (None, first)
    assert (child.restarts, child.last_exit_code) == (1, -signal.SIGKILL)
    end(child)
    assert child.pid is None


def test_the_pause_before_a_restart_grows_and_is_short_again_after_a_steady_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time is an argument here: the child ends at once each time."""
    now_s = 1000.0
    monkeypatch.setattr("venue.process.time.monotonic", lambda: now_s)
    child = python(tmp_path, "raise SystemExit(7)")
    child.start()
    pauses = []
    for _ in range(9):
        assert child._child is not None
        child._child.wait(PATIENCE_S)
        begin_s = now_s
        while not child.watch():
            now_s += 0.05
        pauses.append(now_s - begin_s)
    assert pauses == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0, 10.0], abs=0.1)
    assert child.last_exit_code == 7
    assert child._child is not None
    child._child.wait(PATIENCE_S)
    now_s += module.STEADY_S + 1.0
    begin_s = now_s
    while not child.watch():
        now_s += 0.05
    assert now_s - begin_s == pytest.approx(module.RESTART_FIRST_S, abs=0.1)
    child.wait(now_s + PATIENCE_S)


def test_a_child_that_does_not_listen_is_killed_at_the_deadline(tmp_path: Path) -> None:
    child = up(python(tmp_path, STUBBORN))
    session = child.pid
    assert session is not None
    end(child, 0.3)

    assert child.pid is None
    assert session_members(session) == []


def test_what_a_child_has_started_goes_with_it(tmp_path: Path) -> None:
    child = up(python(tmp_path, PARENT), lines=2)
    session = child.pid
    assert session is not None
    assert len(session_members(session)) == 2
    end(child)

    eventually("nothing left", lambda: session_members(session) == [])


def test_what_a_killed_child_has_left_is_cleared_before_it_starts_again(tmp_path: Path) -> None:
    child = up(python(tmp_path, PARENT), lines=2)
    session = child.pid
    assert session is not None
    os.kill(session, signal.SIGKILL)
    eventually("again", child.watch)

    assert session_members(session) == []
    end(child)


def test_a_child_that_cannot_be_started_is_tried_later(tmp_path: Path) -> None:
    child = python(tmp_path, "pass")
    child.start()
    assert child._child is not None
    child._child.wait(PATIENCE_S)
    child.command = [str(tmp_path / "gone")]
    give_up_s = time.monotonic() + 1.0
    while time.monotonic() < give_up_s:
        assert not child.watch()
        time.sleep(0.05)
    assert child.restarts == 0


def test_a_full_log_makes_room_for_a_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOG_BYTES_MAX", 10)
    (tmp_path / "child.log").write_text("an old log, and long\n")
    child = up(python(tmp_path, SLEEPS))
    end(child)

    assert (tmp_path / "child.log.1").read_text() == "an old log, and long\n"
    assert child.tail() == "up"


@pytest.mark.parametrize("stubborn", [False, True], ids=["orderly", "stubborn"])
def test_a_child_ends_with_its_supervisor_even_if_that_is_killed(tmp_path: Path, stubborn: bool) -> None:
    """kill -9 of the parent: SIGTERM for the child, and if that does not help, an end after the grace."""
    (tmp_path / "sleeper.py").write_text(
        "import os, pathlib, signal, time\n"
        + ("signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" if stubborn else "")
        + "pathlib.Path('pid.part').write_text(str(os.getpid()))\n"
        "os.rename('pid.part', 'pid')\n"
        "time.sleep(600)\n"
    )
    starter = (
        "import os, subprocess, sys, time\n"
        "code = 'import venue.child as c; c.GRACE_S = 0.5; c.main()'\n"
        "subprocess.Popen([sys.executable, '-c', code, str(os.getpid()), 'sleeper'], start_new_session=True)\n"
        "time.sleep(600)\n"
    )
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    supervisor = subprocess.Popen([sys.executable, "-c", starter], cwd=tmp_path, env=os.environ | {"PYTHONPATH": path})
    try:
        eventually("the child is up", (tmp_path / "pid").exists)
        child = int((tmp_path / "pid").read_text())
        assert session_members(child) == [child]
    finally:
        supervisor.kill()
        supervisor.wait(PATIENCE_S)

    eventually("the child is gone", lambda: session_members(child) == [])
