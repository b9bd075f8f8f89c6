"""docs/aggregates.md, followed as it stands: through the CLI, the real gate and the real projector, over recordings."""

import json
import re
import shlex
import time
from pathlib import Path

import numpy as np
import pytest

from palaestra.cli import run
from sharing.clock import Clock
from tests.sharing.projection.ground import Ground
from tests.sharing.stage import serving, stage

PAGE = Path(__file__).parents[2] / "docs" / "aggregates.md"
EPISODES, PATIENCE_S = 60, 240.0


def venue_of(folder: Path) -> Ground:
    """Record a data set of aurora's: a linear policy with noise, so that an honest model remembers nobody."""
    ground = Ground(folder)
    chance = np.random.default_rng(11)
    for number in range(EPISODES):
        state = chance.normal(size=(8, 2)).astype(np.float32)
        action = (state[:, ::-1] + chance.normal(size=(8, 2))).astype(np.float32)
        ground.record(
            number,
            rows=8,
            joints=2,
            signals={"observation.state": state, "action": action},
            name=f"vendors/aurora/episodes/e-{number}",
            vendor="vendors/aurora",
            job="vendors/aurora/jobs/j-1",
            task="walk",
        )
    ground.catalogue.datasets.create("aurora", "walks", "", by="test", now_ns=1)
    uids = [f"e-{number}" for number in range(EPISODES)]
    ground.catalogue.datasets.freeze("aurora", "walks", uids=uids, by="test", now_ns=1)
    return ground


def test_the_worked_example_runs_as_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the offer to the weights; each command as the page has it."""
    page = PAGE.read_text()
    lines = re.findall(r"^(aurora|borealis)\$ (palaestra .+)$", page, re.MULTILINE)
    assert len(lines) >= 15
    (tmp_path / "work").mkdir()
    question = re.search(r"```json\n(.+?)```", page, re.DOTALL)
    assert question is not None
    (tmp_path / "work" / "question.json").write_text(question[1])
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    ground = venue_of(tmp_path)
    # By the machine's clock: people say times from now on.
    staged = stage(tmp_path, clock=Clock(), projector=ground.projector())
    names: dict[str, str] = {}
    said: dict[str, str] = {}
    with serving(staged) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        for who, line in lines:
            monkeypatch.setenv("PALAESTRA_TOKEN", who)
            monkeypatch.setenv("PALAESTRA_SHARE_KEY", str(tmp_path / f"{who}.pem"))
            words = [names.get(word, word) for word in shlex.split(line)[1:]]
            due_s = time.monotonic() + PATIENCE_S
            while True:
                assert run(words) == 0, (line, capsys.readouterr().err)
                out = said[" ".join(words[1:3])] = capsys.readouterr().out
                # People look again until it has ended.
                if words[:3] != ["share", "compute", "show"] or not {"queued", "running"} & set(out.split()):
                    break
                assert time.monotonic() < due_s
                time.sleep(0.2)
            for name, pattern in (
                ("NEGOTIATION", r"^negotiation\s+([0-9a-f]{32})"),
                ("AGREEMENT", r"^agreement ([0-9a-f]{64})"),
                ("ALGORITHM", r"it is ([0-9a-f]{64})"),
                ("JOB", r"^([0-9a-f]{32}) is queued"),
            ):
                if match := re.search(pattern, out, re.MULTILINE):
                    names[name] = match[1]
        spec = {"measures": [{"of": "mean", "field": "observation.state[0].max"}, {"of": "sum", "field": "duration_s"}]}
        (tmp_path / "work" / "second.json").write_text(json.dumps(spec))
        monkeypatch.setenv("PALAESTRA_TOKEN", "borealis")
        assert run(["share", "ask", names["AGREEMENT"], "second.json", "--json"]) == 0
        second = json.loads(capsys.readouterr().out)
    staged.close()

    assert second["measures"] == ["mean(observation.state[0].max)", "sum(duration_s)"]
    assert second["left_millionths"] == 1_500_000
    assert set(names) == {"NEGOTIATION", "AGREEMENT", "ALGORITHM", "JOB"}
    assert re.search(r"walk\s+\d+ ± \d", said[f"ask {names['AGREEMENT']}"])
    assert re.search(r"left\s+2.25", said[f"budget {names['AGREEMENT']}"])
    assert "membership auc" in said["compute show"]
    with np.load(tmp_path / "work" / "weights.npz", allow_pickle=False) as arrays:
        assert arrays["weights"].shape == (3, 2)
    kinds = {kind for kind, _ in staged.notes.notes}
    assert {"decision", "budget", "bytes", "job"} <= kinds
