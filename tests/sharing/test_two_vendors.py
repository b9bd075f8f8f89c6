"""docs/sharing.md, followed as it stands: two vendors, two logins, from the offer to the end of the agreement."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from palaestra.cli import run
from palaestra.errors import PalaestraError
from palaestra.sharing import check
from sharing.clock import Clock
from sharing.grant import Ask
from sharing.terms import Channel, Purpose
from tests.sharing.stage import NOW_S, Stage, serving, stage

PAGE = Path(__file__).parents[2] / "docs" / "sharing.md"


def commands() -> list[tuple[str, str]]:
    """Return (who, command) of each line of the page's worked example."""
    found = re.findall(r"^(aurora|borealis)\$ (palaestra .+)$", PAGE.read_text(), re.MULTILINE)
    assert len(found) >= 10
    return found


def test_the_worked_example_runs_as_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, str] = {}
    # By the machine's clock: people say times from now on.
    staged = stage(tmp_path, clock=Clock())
    with serving(staged) as environment:
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        for who, line in commands():
            monkeypatch.setenv("PALAESTRA_TOKEN", who)
            monkeypatch.setenv("PALAESTRA_SHARE_KEY", str(tmp_path / f"{who}.pem"))
            words = [names.get(word, word) for word in shlex.split(line)[1:]]
            assert run(words) == 0, (line, capsys.readouterr().err)
            out = capsys.readouterr().out
            for name, pattern in (
                ("NEGOTIATION", r"^negotiation\s+([0-9a-f]{32})"),
                ("AGREEMENT", r"^agreement ([0-9a-f]{64})"),
            ):
                if match := re.search(pattern, out, re.MULTILINE):
                    names[name] = match[1]
        assert set(names) == {"NEGOTIATION", "AGREEMENT"}
        assert run(["share", "show", names["AGREEMENT"], "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
    staged.close()
    check(document)
    assert document["state"] == "revoked"
    taken = [note["what"] for note in staged.notes.of("negotiation")]
    assert taken == ["offer", "counter", "accept", "sign", "sign"]


def test_what_was_agreed_by_the_clients_is_granted_by_the_gate(staged: Stage, tmp_path: Path) -> None:
    document = agree(staged, tmp_path)
    ask = Ask("vendors/borealis", document["agreement"], Channel.DELTA, Purpose.TRAINING)
    assert staged.room.gate.authorize(ask).columns == ("action",)


def test_a_venue_that_puts_other_terms_there_gets_no_signature(staged: Stage, tmp_path: Path) -> None:
    from palaestra.signing import digest

    clients = clients_of(staged, tmp_path)
    offered = clients["aurora"][0].offer(wanted(), clients["aurora"][1])
    clients["borealis"][0].accept(offered["negotiation"], clients["borealis"][1])
    sharing, signer = clients["aurora"]
    honest = sharing.negotiation

    def swapped(name: str) -> dict[str, Any]:
        found = honest(name)
        found["terms"] = found["terms"] | {"columns": ["action", "observation.velocity"]}
        return found | {"digest": digest(found["terms"])}

    sharing.negotiation = swapped  # type: ignore[method-assign]
    with pytest.raises(PalaestraError, match="neither proposed nor accepted"):
        sharing.sign(offered["negotiation"], signer)


def wanted() -> dict[str, Any]:
    from palaestra.sharing import terms

    return terms("walks", "borealis", ["action"], valid_from_s=NOW_S, valid_until_s=NOW_S + 1000)


def clients_of(staged: Stage, tmp_path: Path) -> dict[str, Any]:
    """Return (sharing, signer) of each vendor, over requests straight into the application."""
    from palaestra.sharing import Sharing
    from palaestra.signing import Signer

    class Straight:
        def __init__(self, token: str) -> None:
            self._http = staged.as_(token)

        def call(self, verb: str, path: str, body: object = None, *, query: Any = None) -> Any:
            answer = self._http.request(verb, path, json=body, params={k: v for k, v in (query or {}).items() if v})
            if answer.is_success:
                return answer.json()
            problem = answer.json()
            raise PalaestraError(problem["reason"], problem["detail"])

    found = {}
    for vendor in ("aurora", "borealis"):
        sharing = Sharing(Straight(vendor), lambda vendor=vendor: staged.known[vendor])  # type: ignore[arg-type, misc]
        signer = Signer.create(tmp_path / f"{vendor}-client.pem")
        sharing.register_key(signer)
        found[vendor] = sharing, signer
    return found


def agree(staged: Stage, tmp_path: Path) -> dict[str, Any]:
    """Have both vendors agree by their clients, and return the agreement."""
    clients = clients_of(staged, tmp_path)
    (aurora, key_a), (borealis, key_b) = clients["aurora"], clients["borealis"]
    name = aurora.offer(wanted(), key_a)["negotiation"]
    borealis.accept(name, key_b)
    borealis.sign(name, key_b)
    done = aurora.sign(name, key_a)
    assert done["state"] == "agreed"
    found: dict[str, Any] = borealis.agreement(done["digest"][:10])
    return found
