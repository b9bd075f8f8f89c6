"""The scheduler as a process: what it refuses to start with, and its tokens."""

import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from scheduler.configuration import BadConfiguration, Settings, settings_of
from tests.scheduler.process import FILE, ROOT, Process
from tests.scheduler.site import VENUE


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    process = Process(tmp_path_factory.mktemp("first"))
    process.address()
    yield process
    process.kill()


def test_a_second_scheduler_on_the_database_refuses_to_start(first: Process, tmp_path: Path) -> None:
    second = Process(tmp_path / "second", data=first.data)

    assert second.code() == 2
    assert "is in use by the scheduler with process id" in second.output()
    assert "Traceback" not in second.output()


def test_a_database_of_another_schema_is_refused_with_what_to_do(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with closing(sqlite3.connect(data / "scheduler.db")) as db:
        db.execute("PRAGMA user_version=1")
    process = Process(tmp_path / "process", data=data)

    assert process.code() == 2
    assert "move the data folder away" in process.output()
    assert "Traceback" not in process.output()


def test_a_second_scheduler_on_the_port_refuses_to_start(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        process = Process(tmp_path / "p", listen=address)
        assert process.code() == 2
    assert f"cannot listen on {address}" in process.output()
    assert "Traceback" not in process.output()


def test_two_schedulers_never_share_a_port(first: Process, tmp_path: Path) -> None:
    """gRPC would let them, silently, if it were not told otherwise."""
    second = Process(tmp_path / "second", listen=first.address())

    assert second.code() == 2
    assert "cannot listen" in second.output()


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "10.1.2.3:7400", "example:7400"])
def test_without_tls_only_loopback_is_listened_on(tmp_path: Path, listen: str) -> None:
    process = Process(tmp_path / "p", listen=listen)

    assert process.code() == 2
    assert "can be reached from other machines" in process.output()


def test_a_broken_venue_file_is_refused_with_its_field(tmp_path: Path) -> None:
    process = Process(tmp_path / "p", file=FILE.replace('robot = "own_arm"', "robot = 7"))

    assert process.code() == 2
    assert "unit arm-1: robot is 7" in process.output()
    assert "Traceback" not in process.output()


def test_a_database_of_another_venue_is_refused(tmp_path: Path) -> None:
    before = Process(tmp_path / "p")
    before.address()
    assert before.terminate() == 0
    after = Process(tmp_path / "p", file=FILE.replace("hall", "barn"))

    assert after.code() == 2
    assert "'barn', the database is that of venue 'hall'" in after.output()


BROKEN = {
    "[venue] needs an id": ({"venue": {}}, "id is ''"),
    "a name is text": ({"venue": {"id": "v", "name": 3}}, "name is 3"),
    "a venue is a table": ({"venue": "v"}, "venue is 'v'"),
    "ids have no slash": ({"vendor": [{"id": "a/b"}]}, "vendor: id is 'a/b'"),
    "vendors are tables": ({"vendor": "acme"}, "vendor is 'acme'"),
    "somebody must be there": ({"vendor": []}, "at least one"),
    "nobody is there twice": ({"vendor": [{"id": "a"}, {"id": "a"}]}, "vendor a occurs twice"),
    "weights are positive": ({"vendor": [{"id": "a", "weight": 0}]}, "vendor a: weight is 0"),
    "weights are numbers": ({"vendor": [{"id": "a", "weight": True}]}, "vendor a: weight is True"),
    "levels are 1 to 4": ({"cell": [{"id": "c", "level": 5}]}, "cell c: level is 5"),
    "places are finite": ({"cell": [{"id": "c", "x_m": float("nan")}]}, "cell c: x_m is nan"),
    "units have a robot": ({"unit": [{"id": "u"}]}, "unit u needs a robot"),
    "labels are texts": ({"unit": [{"id": "u", "robot": "r", "labels": {"a": 1}}]}, "unit u: labels: a is 1"),
    "times are positive": ({"scheduler": {"lease_ttl_s": -1}}, "[scheduler] lease_ttl_s is -1"),
    "misspelt settings": ({"scheduler": {"lease_ttl": 5}}, "[scheduler] has no lease_ttl"),
    "half a job": ({"scheduler": {"queued_jobs_max": 0.5}}, "queued_jobs_max is 0.5"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_setting_that_cannot_be_is_named(case: str) -> None:
    tables, problem = BROKEN[case]
    with pytest.raises(BadConfiguration) as caught:
        settings_of(VENUE | tables, "file.toml")

    assert problem in str(caught.value)
    assert str(caught.value).startswith("file.toml: ")


def test_the_venues_that_come_along_can_be_used() -> None:
    for path in (ROOT / "configs" / "venues").glob("*.toml"):
        assert Settings.load(path).venue.vendors


def test_tokens_are_minted_once_for_their_owner_alone(tmp_path: Path) -> None:
    process = Process(tmp_path / "p")
    process.address()
    names = {path.name for path in (process.data / "tokens").iterdir()}
    before = {name: (process.data / "tokens" / name).read_text() for name in names}
    modes = {(process.data / "tokens" / name).stat().st_mode & 0o777 for name in names}
    assert process.terminate() == 0
    (process.data / "tokens" / "operator.token").write_text("")
    process = Process(tmp_path / "p")
    process.address()

    assert names == {f"{name}.token" for name in ("vendor-acme", "operator", "host", "runner", "gateway")}
    assert modes == {0o600}
    assert (process.data / "tokens").stat().st_mode & 0o777 == 0o700
    assert len(set(before.values())) == 5
    assert process.token("vendor-acme") == before["vendor-acme.token"].strip()
    assert len(process.token("operator")) > 40, "one that a crash left empty is minted anew"
    assert not any(token.strip() in process.output() for token in before.values())
    process.kill()
