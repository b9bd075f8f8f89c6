"""Logs of jobs that ask for nodes with properties: the words, the claims, and where jobs may run."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from scheduler.replay.log import read
from scheduler.replay.nodes import Chunk, Cluster, Machine, NodeRequest, clusters_of
from scheduler.replay.policy import POLICIES
from scheduler.replay.simulate import Placement as Placed
from scheduler.replay.simulate import place
from scheduler.replay.workload import BadTrace
from scheduler.state import Grant, Placement

SIZES = {"big": 8, "small": 2}
CLUSTERS = (Cluster("big", 3, 8), Cluster("small", 4, 2))
MACHINES = "0\tbig\t3\t8\t1\t1000\n1\tsmall\t4\t2\t1\t500\n"


def line(job_id: int, submit_s: int, run_s: int, cores: int, request: str, requested_s: int = 100) -> str:
    return f"{job_id} {submit_s} 0 {run_s} {cores} 1 1024 {cores} {requested_s} 1 1 7 1 1 -1 1 1 1 {{1}} q {request}"


def log(folder: Path, *lines: str) -> Path:
    path = folder / "log.swf"
    path.write_text("\n".join(lines) + "\n")
    (folder / "log.swf.machines").write_text(MACHINES)
    return path


def broken(
    rows: Sequence[tuple[int, int, str]], placed: Sequence[Placed], sizes: Mapping[str, int]
) -> list[tuple[int, str]]:
    """Return what is wrong with placements of (job, run_s, request): read anew from the request's own words.

    Cores are named NODE/NUMBER, nodes by their cluster and a number.
    """
    wrong: list[tuple[int, str]] = []
    busy: dict[str, list[tuple[float, float, int]]] = defaultdict(list)
    for (job, run_s, request), at in zip(rows, placed, strict=True):
        cores_on: dict[str, int] = defaultdict(int)
        for unit in at.grant.units:
            cores_on[unit.split("/")[0]] += 1
            busy[unit].append((at.start_s, at.start_s + run_s, job))
        chunks = []
        for chunk in request.removesuffix("#excl").split("+"):
            words = chunk.split(":")
            count = max([int(word) for word in words if re.fullmatch(r"\d+", word)], default=1)
            cores = max([int(float(word[4:])) for word in words if word.startswith("ppn=")], default=1)
            chunks += [(cores, [w for w in words if not re.fullmatch(r"\d+|ppn=.*", w)])] * count
        if len(cores_on) != len(chunks):
            wrong.append((job, f"{len(cores_on)} nodes instead of {len(chunks)}"))
            continue
        left = dict(cores_on)
        for cores, words in sorted(chunks, key=lambda chunk: (-len(chunk[1]), -chunk[0])):
            fits = [
                node
                for node, count in left.items()
                if (count == size_of(node, sizes) >= cores if request.endswith("#excl") else count == cores)
                and all(meets(node, word, sizes) for word in words)
            ]
            if not fits:
                wrong.append((job, f"no node of {dict(cores_on)} for {cores} cores with {words}"))
                break
            del left[fits[0]]
    for unit, spans in busy.items():
        if unit.split("/")[1] >= f"{size_of(unit.split('/')[0], sizes):03}":
            wrong.append((spans[0][2], f"there is no core {unit}"))
        spans.sort()
        wrong += [(later[2], f"{unit} twice") for earlier, later in pairwise(spans)
                  if later[0] < earlier[1]]  # fmt: skip
    return wrong


def size_of(node: str, sizes: Mapping[str, int]) -> int:
    return sizes[node.rstrip("0123456789")]


def meets(node: str, word: str, sizes: Mapping[str, int]) -> bool:
    if word[0] == "^":
        return not meets(node, word[1:], sizes)
    if word.startswith("cl_"):
        return node.rstrip("0123456789") == word[3:]
    if word.startswith("nodecpus"):
        return size_of(node, sizes) == int(word[8:])
    if word == "infiniband":
        return node.startswith("zegox")
    if word in ("brno", "debian", "linux", "nfs4", "x86_64") or word.startswith("mem="):
        return True
    return node == word.removeprefix("host=").split(".")[0]


def grant(*units: str) -> Grant:
    return Grant(0, "log", units, (), None)


@pytest.mark.parametrize(
    ("request_", "units", "right"),
    [
        ("1:ppn=2", ["big1/000", "big1/001"], True),
        ("1:ppn=2", ["big1/000", "big2/001"], False),
        ("1:ppn=2", ["big1/000"], False),
        ("2:ppn=1", ["big1/000", "big2/001"], True),
        ("2:ppn=1", ["big1/000", "big1/001"], False),
        ("1:ppn=1+1:ppn=2:cl_big", ["big1/000", "big1/001", "small1/000"], True),
        ("1:ppn=1+1:ppn=2:cl_big", ["small1/000", "small1/001", "big1/000"], False),
        ("1:ppn=1#excl", ["small1/000", "small1/001"], True),
        ("1:ppn=1#excl", ["small1/000"], False),
        ("1:^big1.x.cz", ["big2/000"], True),
        ("1:^big1.x.cz", ["big1/000"], False),
        ("1:nodecpus2", ["big1/000"], False),
        ("1", ["small1/002"], False),
    ],
)
def test_the_check_of_placements_tells_right_from_wrong(request_: str, units: list[str], right: bool) -> None:
    assert (not broken([(1, 10, request_)], [Placed(0, grant(*units))], SIZES)) is right


def test_the_check_of_placements_sees_a_core_that_is_used_twice() -> None:
    rows = [(1, 10, "1"), (2, 10, "1")]

    assert broken(rows, [Placed(0, grant("big1/000")), Placed(9, grant("big1/000"))], SIZES) == [(2, "big1/000 twice")]
    assert not broken(rows, [Placed(0, grant("big1/000")), Placed(10, grant("big1/000"))], SIZES)


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ("1", NodeRequest((Chunk(1, 1),))),
        ("1:ppn=64:x86_64:cl_big#excl", NodeRequest((Chunk(1, 64, ("x86_64", "cl_big")),), True)),
        ("1:ppn=1+3:ppn=2", NodeRequest((Chunk(1, 1), Chunk(3, 2)))),
        ("big2.site.org:ppn=2:brno", NodeRequest((Chunk(1, 2, ("big2.site.org", "brno")),))),
        ("1:ppn=1.5:cl_big:cl_big", NodeRequest((Chunk(1, 1, ("cl_big",)),))),
    ],
)
def test_requests_are_read_in_any_order_of_words(text: str, request_: NodeRequest) -> None:
    assert NodeRequest.parse(text) == request_


@pytest.mark.parametrize("text", ["", "1:ppn=x", "1:ppn=nan", "0:ppn=1", "1:ppn=1#shared", "1::ppn=1", "1+", "99999"])
def test_requests_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        NodeRequest.parse(text)


def test_a_chunk_is_together_chunks_are_grouped_and_a_whole_node_has_alternatives() -> None:
    machine = Machine(CLUSTERS)
    one, two, whole = (
        machine.claim(NodeRequest.parse(text), 60.0) for text in ("1:ppn=4", "2:ppn=2:cl_big", "1:ppn=2#excl")
    )

    assert one is not None and two is not None and whole is not None
    assert (one.placement, [request.count for request in one.units]) == (Placement.TOGETHER, [4])
    assert (two.placement, [request.count for request in two.units]) == (Placement.GROUPED, [2, 2])
    assert two.units[0].labels == (("cl_big", "yes"),)
    assert [claim.units[0].count for claim in (whole, *whole.alternatives)] == [8, 2]
    venue = machine.venue()
    assert len(venue.units) == machine.cores == 32
    assert {unit.zone for unit in venue.units if "cl_big" in unit.labels} == {"big1", "big2", "big3"}


@pytest.mark.parametrize(
    ("text", "possible"),
    [
        ("1:ppn=8", True),
        ("1:ppn=9", False),
        ("3:ppn=3", True),
        ("4:ppn=3", False),
        ("1:cl_small:nodecpus8", False),
        ("2:big1", False),
        ("1:big1+1:^cl_small:^big2:^big3", False),
        ("1:big1+2:^cl_small", True),
        ("1:cl_none", False),
        ("1:host=small4.site.org", True),
        ("1:small5", False),
    ],
)
def test_what_too_few_nodes_could_ever_meet_is_no_claim(text: str, possible: bool) -> None:
    assert (Machine(CLUSTERS).claim(NodeRequest.parse(text), 60.0) is not None) is possible


def test_a_property_that_nobody_knows_is_refused_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(BadTrace, match="swf:2: unknown property 'gpu'"):
        read(log(tmp_path, line(1, 0, 10, 1, "1"), line(2, 0, 10, 1, "1:gpu")))


@pytest.mark.parametrize("text", ["", "0 big 3\n", "0 big 3 x\n", "0 big 0 4\n", "0 big 1 2\n1 big 1 2\n"])
def test_a_file_of_machines_that_makes_no_sense_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "machines").write_text(text)
    with pytest.raises(BadTrace):
        clusters_of(tmp_path / "machines")


ONE_NODE = ("1:ppn=8", "1:ppn=1:cl_big#excl", "1:ppn=3:big2.x.org", "1:ppn=1:^cl_big", "1:ppn=2#excl",
            "1:nodecpus2:^small1", "1:ppn=5", "1:ppn=8:^big1")  # fmt: skip
NODES = ("2:ppn=2:cl_small", "3:ppn=4", "1:ppn=1+2:ppn=2", "3:ppn=8", "2:ppn=8:^big2", "7:ppn=1")


@pytest.mark.parametrize("requests", [ONE_NODE, (*ONE_NODE, *NODES)])
def test_jobs_that_ask_for_nodes_run_where_they_may(tmp_path: Path, requests: Sequence[str]) -> None:
    """By hand: whole nodes, a node to itself, a node by name and its negation; chunks each on a node of its own."""
    lines = [line(n, n, 20 + n, 1, text, 60) for n, text in enumerate(requests)]
    workload = read(log(tmp_path, *lines))

    for policy in ("fcfs", "easy", "default"):
        placed = place(workload, POLICIES[policy])
        rows = [(n, 20 + n, text) for n, text in enumerate(requests)]
        assert broken(rows, placed, SIZES) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "jobs"),
    [("easy", 2_000), ("default", 2_000)]
    + [pytest.param(name, None, marks=[pytest.mark.long, pytest.mark.timeout(1800)]) for name in ("easy", "default")],
)
def test_metacentrum_replays_with_every_constraint_honoured(policy: str, jobs: int | None, shared: Path) -> None:
    path = shared / "data/traces/metacentrum-2013/wagap-2013.swf"
    whole = read(path)
    workload = replace(whole, jobs=whole.jobs[:jobs])
    words = {int(fields[0]): fields[-1] for fields in map(str.split, path.read_text().splitlines())}
    placed = place(workload, POLICIES[policy])
    rows = [(job.job_id, int(job.run_s), words[job.job_id]) for job in workload.jobs]

    assert (len(whole.jobs), whole.dropped) == (17_898, 2)
    assert broken(rows, placed, {"zewura": 80, "zegox": 12}) == []
