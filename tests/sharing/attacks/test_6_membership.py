"""Attack by a model's losses: who was in its training. A model that remembers is refused, an honest one leaves."""

import io
import json
from typing import Any

import numpy as np
import pytest

from sharing.compute.algorithm import Algorithm, built_in
from sharing.compute.jobs import Job, State
from sharing.compute.membership import AUC_MOST, auc, split_of
from sharing.compute.result import written
from sharing.compute.visit import visit
from sharing.compute.worker import MODEL, arrays_of
from sharing.confined import process
from sharing.confined.data import Data
from sharing.confined.parcel import Parcel
from sharing.errors import NotShared
from sharing.grant import Ask
from sharing.terms import Channel, Purpose
from tests.sharing.compute.visitors import MEMORISER, house_of, settled
from tests.sharing.stage import AURORA, BOREALIS


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """An honest algorithm and one that remembers, each through a whole job, once."""
    folder = tmp_path_factory.mktemp("membership")
    house, agreement, staged = house_of(folder)
    found: dict[str, Any] = {"house": house, "agreement": agreement, "staged": staged}
    house.start()
    for algorithm in (built_in()["ridge_cloning"], MEMORISER):
        house.approvals.approve(AURORA, algorithm)
        job = house.submit(BOREALIS, agreement, Purpose.TRAINING, algorithm.sha256, {})
        found[algorithm.name] = settled(house, job)
    house.stop()
    return found


def here(module: str, told: dict[str, Any], parcel: Parcel, *_: object) -> bytes:
    """Do the worker's work in this process."""
    files = dict(parcel.files)
    model = files.pop(MODEL, None)
    data = Data(parcel.descriptor, parcel.size_bytes, files)
    space: dict[str, Any] = {}
    exec(compile(told["source"], "algorithm", "exec"), space)
    if model is None:
        return written(*space["train"](data, told["parameters"]))
    return json.dumps(space["losses"](data, arrays_of(parcel.descriptor, model, told["arrays"]), {})).encode()


def test_an_honest_model_is_released(ended: dict[str, Any]) -> None:
    """Its weights leave, with whom they are made of beside them."""
    job: Job = ended["ridge_cloning"]
    assert (job.state, job.reason) == (State.RELEASED, "")
    with np.load(io.BytesIO(ended["house"].result(job, Purpose.TRAINING)), allow_pickle=False) as arrays:
        assert arrays["weights"].shape == (4, 3)
    assert job.lineage is not None
    assert job.lineage["membership_auc"] <= AUC_MOST
    assert job.lineage["agreement"] == ended["agreement"]
    assert (job.lineage["episodes"], job.lineage["held_out"]) == (80, 40)


def test_a_model_that_remembers_is_refused(ended: dict[str, Any]) -> None:
    """It tells members from others without fail, and nobody gets it."""
    job: Job = ended["memoriser"]
    assert job.state == State.REFUSED
    assert job.reason == "the result tells who was in it: membership AUC 1.00"
    with pytest.raises(NotShared):
        ended["house"].result(job, Purpose.TRAINING)


def test_mutant_without_the_gate_the_memory_leaves(ended: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard is the bound on the attack: without it the members' own samples are in what is released."""
    monkeypatch.setattr(process, "run", here)
    room = ended["staged"].room
    grant = room.gate.authorize(Ask(BOREALIS, ended["agreement"], Channel.COMPUTE, Purpose.TRAINING))
    found = visit(MEMORISER, {}, grant, room.projector.project(grant), room.projector, lambda: None, auc_most=1.0)

    assert found.auc == 1.0
    assert found.result is not None
    seen = {row.tobytes() for row in found.result.arrays["seen"]}
    assert sum(state[0].astype(np.float32).tobytes() in seen for state in room.projector.states) == 80


def test_the_area_is_the_share_of_pairs_in_order() -> None:
    """Against a count of all pairs, with ties."""
    chance = np.random.default_rng(3)
    for _ in range(20):
        members, others = chance.integers(0, 6, 9).astype(float), chance.integers(1, 7, 7).astype(float)
        pairs = [(1.0 if one < other else 0.5 if one == other else 0.0) for one in members for other in others]
        assert auc(list(members), list(others)) == pytest.approx(np.mean(pairs))


def test_the_split_is_always_the_same_and_both_sides_are_alike() -> None:
    """Another job cannot be shown what this one was judged by; of neighbours one is held out."""
    alike = [("walk" if number % 2 else "run", number / 7) for number in range(120)]
    split = split_of(alike, "vendors/aurora/datasets/walks")

    assert split == split_of(alike, "vendors/aurora/datasets/walks")
    assert split != split_of(alike, "vendors/aurora/datasets/others")
    assert sorted((*split.members, *split.held_out)) == list(range(120))
    assert len(split.held_out) == 40
    for task in (0, 1):
        assert sum(place % 2 == task for place in split.held_out) == 20


def test_a_refused_file_cannot_be_had_by_another_name() -> None:
    """An algorithm is known by its file and its outputs: one letter more is another, which nobody approved."""
    other = Algorithm.of(
        "ridge_cloning", built_in()["ridge_cloning"].source + "\n", built_in()["ridge_cloning"].outputs.as_json()
    )
    assert other.sha256 != built_in()["ridge_cloning"].sha256
