"""`palaestra cordon|drain|release|stop|reorder`, `unit quarantine` and `audit` on the command line."""

import json
from collections.abc import Callable, Iterator

import pytest

from palaestra.cli import run
from tests.scheduler.site import LiveServer, job

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with LiveServer(tmp_path_factory.mktemp("hall")) as server:
        yield server


@pytest.fixture
def cli(live: LiveServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run a command as somebody; return its exit code and what it printed."""

    def call(*words: str, who: str = "operator") -> tuple[int, str, str]:
        monkeypatch.setenv("PALAESTRA_ADDRESS", live.address)
        monkeypatch.setenv("PALAESTRA_TOKEN", live.token(who))
        code = run(list(words))
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


@pytest.mark.parametrize("word", ["cordon", "drain"])
def test_a_place_is_closed_and_released(cli: Cli, word: str) -> None:
    code, name, _ = cli(word, "--unit", "arm-2", "--cell", "bench", "--end", "+2h", "--reason", "a new floor")
    assert code == 0
    closure = json.loads(cli("closures", "--json")[1])["closures"][0]
    assert (closure["name"], closure["displayName"]) == (name.strip(), "a new floor")
    assert closure.get("stopRunning", False) is (word == "drain")

    assert cli("release", "--unit", "arm-2", "--cell", "bench") == (0, f"{name.strip()}: released\n", "")
    told = cli("release", "--unit", "arm-2", "--cell", "bench")[1]
    assert told == "nothing there was cordoned, drained or out\n"
    assert cli(word)[0] == 2, "which place must be said"
    assert cli(word, "--venue", "--unit", "arm-1")[0] == 2
    assert cli(word, "--unit", "arm-2", who="vendor-acme")[0] == 1


def test_all_units_of_a_cell_or_of_the_venue_are_stopped(cli: Cli) -> None:
    code, told, _ = cli("stop", "--venue", "--reason", "smoke")
    assert code == 0
    assert told.splitlines() == [f"venues/hall/units/arm-{n}: asked to stop" for n in (1, 2, 3)]
    assert "units" in json.loads(cli("stop", "--cell", "bench", "--json")[1])
    assert cli("stop")[0] == 2
    assert cli("stop", "--venue", "--cell", "bench")[0] == 2
    assert "[ROLE_DENIED]" in cli("stop", "--venue", who="vendor-acme")[2]
    assert cli("unit", "stop", "arm-1", "--reason", "smoke")[0] == 0


def test_a_unit_in_quarantine_is_released_to_be_checked(cli: Cli) -> None:
    assert "bad" in cli("unit", "quarantine", "arm-1", "--reason", "it smells")[1]
    assert cli("release", "--unit", "arm-1")[1] == "venues/hall/units/arm-1: released\n"
    assert json.loads(cli("units", "--json")[1])["units"][0]["health"] == "UNIT_HEALTH_SUSPECT"


def test_a_job_is_moved_with_a_reason(live: LiveServer, cli: Cli) -> None:
    from palaestra import Client

    with Client(live.address, live.token("vendor-acme")) as acme:
        name = acme.submit(job()).name
    assert cli("reorder", name, "--priority", "7", "--reason", "a guest") == (0, f"{name}: priority 7\n", "")
    assert cli("reorder", name, "--priority", "7")[0] == 2, "a reason must be given"
    assert cli("reorder", name, "--priority", "101", "--reason", "x")[0] == 2


def test_the_audit_is_listed_verified_noted_and_exported(live: LiveServer, cli: Cli) -> None:
    cli("unit", "quarantine", "arm-3", "--reason", "loose \x1b[31mscrew")
    told = cli("audit", "list")[1]
    assert "FleetService/SetUnitHealth" in told
    assert "\x1b" not in told, "nobody's words steer a terminal"
    entries = json.loads(cli("audit", "list", "--json")[1])["entries"]
    head = cli("audit", "head")[1].strip()
    assert head.startswith(f"{len(entries)}:")
    code, told, _ = cli("audit", "verify", "--noted", head)
    assert (code, head in told) == (0, True)
    assert [json.loads(line)["venue_sequence"] for line in cli("audit", "export")[1].splitlines()] == [
        int(entry["venueSequence"]) for entry in entries
    ]
    assert json.loads(cli("audit", "verify", "--json")[1])["whole"] is True
    assert cli("audit", "verify", "--vendor", "acme")[0] == 0
    assert cli("audit", "verify", "--noted", "x")[0] == 2
    code, _, told = cli("audit", "verify", "--noted", f"{len(entries)}:{'ab' * 32}")
    assert (code, "the chain is broken" in told) == (1, True)
    live.run(lambda tx: tx.db.execute("UPDATE audit SET reason = 'nothing' WHERE seq = 1"))
    code, told, _ = cli("audit", "verify", "--json")
    assert (code, json.loads(told)["whole"]) == (1, False)
