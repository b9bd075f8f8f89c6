"""Two vendors of a running venue: recorded on its robots, agreed by the command line, fetched, and taken back."""

import os
import re
import signal
import time
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

from palaestra import jobs
from palaestra.cli import run
from tests.system.hall import PATIENCE_S, Hall, succeeded

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


class Desk:
    """The command line of a venue's vendors, each with its own folder of settings."""

    def __init__(self, hall: Hall, folder: Path, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._logins = hall.supervisor.data / "logins"
        self._folder, self._patch, self._capsys = folder, patch, capsys
        for vendor in ("acme", "bolt"):
            self.says(vendor, "login", str(self._logins / f"{vendor}.toml"))

    def says(self, vendor: str, *words: str, ends: int = 0) -> str:
        """Return what a vendor's command prints. ends: With which exit code."""
        self._patch.setenv("XDG_CONFIG_HOME", str(self._folder / vendor))
        assert run(words) == ends, (words, self._capsys.readouterr())
        found = self._capsys.readouterr()
        return found.out if ends == 0 else found.err


def test_what_one_vendor_recorded_another_fetches_until_it_is_taken_back(
    hall: Hall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Through every process there is, one of which is killed on the way."""
    job = hall.acme.submit(
        jobs.collect(motion="reach_around", episodes=2, episode_s=1.0, units=[jobs.unit(robot_class="arm")])
    )
    succeeded(hall.acme.wait(job.name, PATIENCE_S))
    desk = Desk(hall, tmp_path, monkeypatch, capsys)
    desk.says("acme", "data", "dataset", "create", "reaches")
    desk.says("acme", "data", "dataset", "freeze", "reaches", "--outcome", "success")
    for vendor in ("acme", "bolt"):
        desk.says(vendor, "share", "keys", "create")
    columns = ("--column", "observation.state", "--channel", "export")
    offered = desk.says("acme", "share", "offer", "reaches", "--to", "bolt", *columns)
    name = found(r"^negotiation\s+([0-9a-f]{32})", offered)
    desk.says("bolt", "share", "accept", name)
    desk.says("bolt", "share", "sign", name)
    agreement = found(r"^agreement ([0-9a-f]{64})", desk.says("acme", "share", "sign", name))

    kill(hall)
    taken = tmp_path / "reaches"
    desk.says("bolt", "share", "fetch", agreement[:12], str(taken), "--format", "parquet")
    desk.says("bolt", "data", "verify", str(taken))
    tables = [parquet.read_table(path) for path in sorted(taken.rglob("*.parquet"))]
    names = {name for table in tables for name in table.column_names}
    assert "observation.state" in names
    assert not names & {"action", "observation.velocity", "observation.effort"}
    everything = b"".join(path.read_bytes() for path in taken.rglob("*") if path.is_file())
    for hidden in (b"arm-1", b"arm-2", b"observation.effort", job.name.encode()):
        assert hidden not in everything
    desk.says("acme", "share", "fetch", agreement[:12], str(tmp_path / "own"), ends=1)

    desk.says("acme", "share", "revoke", agreement[:12], "--reason", "enough", "--yes")
    refused = desk.says("bolt", "share", "fetch", agreement, str(tmp_path / "late"), ends=1)
    assert "NOT_FOUND" in refused
    assert not (tmp_path / "late").exists()


def kill(hall: Hall) -> None:
    """Kill the process that shares, and wait for the one that the venue starts in its place."""
    process = hall.process("sharing")
    killed = process.pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    due_s = time.monotonic() + PATIENCE_S
    while process.pid in (None, killed) or not answers(hall.supervisor.sharing_url):
        assert time.monotonic() < due_s, "it was not started again"
        time.sleep(0.1)


def answers(url: str) -> bool:
    """Return whether the process serves."""
    import httpx

    try:
        return httpx.get(f"{url}/healthz", timeout=5.0).status_code == 204
    except httpx.TransportError:
        return False


def found(pattern: str, text: str) -> str:
    """Return what a pattern finds."""
    match = re.search(pattern, text, re.MULTILINE)
    assert match, text
    return match[1]
