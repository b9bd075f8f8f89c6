"""Logs of unlike clusters, whose jobs ask for nodes with properties: MetaCentrum's form of SWF.

Its lines have three fields more than SWF's 18: the cores used, the queue, and the request in the words of the batch
system (TORQUE, "Requesting nodes"): chunks joined by `+`, each `COUNT:ppn=CORES:PROPERTY:...`, in any order, and
`#excl` at the end. A chunk is COUNT nodes, 1 if it says nothing, with so many cores on each, 1 if it says nothing; a
fraction of a core is left out, as the log itself did. No two nodes of a job are the same: in all 334 jobs of the log
with more than one they were not. `#excl` is the whole node. Properties:

| property | a node that |
|---|---|
| `cl_NAME` | is of cluster NAME |
| `nodecpusN` | has N cores |
| `NAME`, `NAME.DOMAIN`, `host=NAME` | is node NAME: its cluster and its number, from 1 |
| `^PROPERTY` | has not the property |
| `brno`, `debian`, `linux`, `nfs4`, `x86_64` | is any: the log shows them on nodes of both clusters |
| `infiniband` | is of cluster zegox, where the one job that asked for it ran |
| `mem=SIZE` | is any: memory is not modelled |

A core is a unit and its node is its zone: cores of one node are `Placement.TOGETHER`, chunks are `GROUPED`, and a whole
node of whichever cluster is a claim with alternatives.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from scheduler.replay.workload import BadTrace
from scheduler.state import Claim, Placement, State, Unit, UnitRequest

CORE = "core"
# Properties that say something about a node's cluster, by the clusters that have them; None: all.
PROPERTIES: Mapping[str, frozenset[str] | None] = {
    "brno": None, "debian": None, "linux": None, "nfs4": None, "x86_64": None, "infiniband": frozenset({"zegox"}),
}  # fmt: skip
CORES_MAX, NODES_MAX, ALTERNATIVES_MAX = 4_096, 10_000, 16


@dataclass(frozen=True, slots=True)
class Cluster:
    """`nodes` like nodes of so many cores."""

    name: str
    nodes: int
    cores: int


@dataclass(frozen=True, slots=True)
class Node:
    """A node by name: its cluster's and its number."""

    name: str
    cluster: str
    cores: int

    def has(self, wanted: str) -> bool:
        """Whether the node has a property. Raises ValueError for one that nobody knows."""
        if wanted.startswith("^"):
            return not self.has(wanted[1:])
        if wanted.startswith("cl_"):
            return self.cluster == wanted[3:]
        if wanted.startswith("nodecpus") and wanted[8:].isdecimal():
            return self.cores == int(wanted[8:])
        if wanted.startswith("mem="):
            return True
        if wanted in PROPERTIES:
            clusters = PROPERTIES[wanted]
            return clusters is None or self.cluster in clusters
        name = wanted.removeprefix("host=").partition(".")[0]
        if not NODE_NAME.fullmatch(name):
            raise ValueError(f"unknown property {wanted!r}")
        return self.name == name


@dataclass(frozen=True, slots=True)
class Chunk:
    """`count` nodes with all the properties, and so many cores on each."""

    count: int
    cores: int
    properties: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeRequest:
    """What a job asks for; `exclusive`: of each of its nodes all cores."""

    chunks: tuple[Chunk, ...]
    exclusive: bool = False

    @classmethod
    def parse(cls, text: str) -> "NodeRequest":
        """Return the request of a text such as `2:ppn=12:x86_64+1:ppn=1#excl`. Raises ValueError."""
        body, *flags = text.split("#")
        if any(flag != "excl" for flag in flags):
            raise ValueError(f"{text!r}: nobody knows what #{flags[0]} means")
        return cls(tuple(_chunk(part, text) for part in body.split("+")), bool(flags))


class Machine:
    """Clusters as a venue of cores, and requests as claims on it."""

    def __init__(self, clusters: Sequence[Cluster]) -> None:
        self.nodes = tuple(
            Node(f"{cluster.name}{number}", cluster.name, cluster.cores)
            for cluster in clusters
            for number in range(1, cluster.nodes + 1)
        )
        self.cores = sum(node.cores for node in self.nodes)
        # What was asked for, as the labels by which decide knows it.
        self._asked: set[str] = set()
        self._claims: dict[tuple[NodeRequest, float], Claim | None] = {}

    def claim(self, request: NodeRequest, duration_s: float) -> Claim | None:
        """Return the request as a claim, None if too few nodes could ever meet it. Raises ValueError."""
        key = request, duration_s
        if key not in self._claims:
            self._claims[key] = self._claim(request, duration_s) if self._possible(request) else None
        return self._claims[key]

    def _claim(self, request: NodeRequest, duration_s: float) -> Claim:
        chunks = [chunk for chunk in request.chunks for _ in range(chunk.count)]
        if not request.exclusive:
            return _claim([self._units(chunk, chunk.cores) for chunk in chunks], duration_s)
        # Of each chunk all cores of its node, however many that cluster's have.
        sizes = [sorted({node.cores for node in self._meeting(chunk)}, reverse=True) for chunk in chunks]
        choices = list(dict.fromkeys(product(*sizes)))[:ALTERNATIVES_MAX]
        first, *others = [
            _claim(
                [self._units(replace(chunk, properties=(*chunk.properties, f"nodecpus{cores}")), cores)
                 for chunk, cores in zip(chunks, choice, strict=True)],
                duration_s,
            )
            for choice in choices
        ]  # fmt: skip
        return replace(first, alternatives=tuple(others))

    def venue(self) -> State:
        """Return the machine with nothing running, labelled with what the claims made so far ask for."""
        units = []
        for node in self.nodes:
            labels = {wanted: "yes" for wanted in sorted(self._asked) if node.has(wanted)}
            units += [
                Unit(f"{node.name}/{core:03}", node.cluster, CORE, labels=labels, zone=node.name)
                for core in range(node.cores)
            ]
        return State(0, units=tuple(units))

    def _meeting(self, chunk: Chunk) -> list[Node]:
        return [
            node
            for node in self.nodes
            if node.cores >= chunk.cores and all(node.has(wanted) for wanted in chunk.properties)
        ]

    def _possible(self, request: NodeRequest) -> bool:
        """Whether each node asked for could be another one (Hall's condition, by augmenting paths)."""
        options = [[node.name for node in self._meeting(chunk)] for chunk in request.chunks for _ in range(chunk.count)]
        taken: dict[str, int] = {}

        def place(index: int, seen: set[str]) -> bool:
            for name in options[index]:
                if name not in seen:
                    seen.add(name)
                    if name not in taken or place(taken[name], seen):
                        taken[name] = index
                        return True
            return False

        return len(options) <= len(self.nodes) and all(place(index, set()) for index in range(len(options)))

    def _units(self, chunk: Chunk, cores: int) -> UnitRequest:
        wanted = sorted({text for text in chunk.properties if not all(node.has(text) for node in self.nodes)})
        self._asked.update(wanted)
        return UnitRequest(cores, CORE, labels=tuple((text, "yes") for text in wanted))


def clusters_of(path: Path) -> tuple[Cluster, ...]:
    """Return the clusters of a machines file: number, name, nodes, cores of each, and more. Raises BadTrace."""
    found = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        fields = line.split()
        if not fields or line.startswith(("#", ";")):
            continue
        if len(fields) < 4 or not (fields[2].isdecimal() and fields[3].isdecimal()):
            raise BadTrace(f"{path}:{number}: not number, name, nodes and cores of a cluster")
        cluster = Cluster(fields[1], int(fields[2]), int(fields[3]))
        if not (0 < cluster.nodes <= NODES_MAX and 0 < cluster.cores <= CORES_MAX):
            raise BadTrace(f"{path}:{number}: {cluster.nodes} nodes of {cluster.cores} cores are out of range")
        found.append(cluster)
    if not found or len({cluster.name for cluster in found}) < len(found):
        raise BadTrace(f"{path}: no cluster, or one twice")
    return tuple(found)


NODE_NAME = re.compile(r"[a-z]+[0-9]+")


def _chunk(text: str, whole: str) -> Chunk:
    count, cores = 1, 1
    properties: list[str] = []
    for word in text.split(":"):
        if word.isdecimal():
            count = int(word)
        elif word.startswith("ppn="):
            try:
                cores = max(1, int(float(word[4:])))
            except (ValueError, OverflowError):
                raise ValueError(f"{whole!r}: {word!r} is no number of cores") from None
        elif word:
            properties.append(word)
        else:
            raise ValueError(f"{whole!r}: an empty word")
    if not (0 < count <= NODES_MAX and cores <= CORES_MAX):
        raise ValueError(f"{whole!r}: {count} nodes of {cores} cores are out of range")
    return Chunk(count, cores, tuple(dict.fromkeys(properties)))


def _claim(units: Iterable[UnitRequest], duration_s: float) -> Claim:
    wanted = tuple(units)
    return Claim(wanted, 0, None, duration_s, placement=Placement.GROUPED if len(wanted) > 1 else Placement.TOGETHER)
