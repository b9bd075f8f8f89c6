"""What the runner says at its start of its slots' sandbox."""

import logging
import subprocess
from typing import Any

import pytest

from runner import confinement


def test_the_runner_says_what_slots_give_up_here(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="runner.confinement"):
        confinement.report()

    said = [record.getMessage() for record in caplog.records]
    assert [line.split(":")[0] for line in said] == [
        f"slots, {name}" for name in ("privileges", "namespaces", "capabilities", "landlock", "seccomp")
    ]
    assert all(("MISSING" in r.getMessage()) == (r.levelno == logging.WARNING) for r in caplog.records)


def test_a_runner_that_cannot_tell_says_that(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise subprocess.TimeoutExpired("sandbox", 1.0)

    monkeypatch.setattr(confinement.subprocess, "run", fails)
    confinement.report()

    assert "cannot be told" in caplog.text
