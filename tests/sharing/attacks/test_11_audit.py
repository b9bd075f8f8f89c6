"""D6 11: somebody with the disk, the code and the log's own key in hand changes the audit; vendors find out, and where.

The mutant: a vendor that keeps nothing believes whatever it is shown.
"""

import base64
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from palaestra import merkle
from palaestra.merkle import BadNote, Checkpoint
from palaestra.witness import Tampered, Witness
from sharing.audit.leaf import leaf_of

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
PUBLIC = KEY.public_key().public_bytes_raw()
VENDOR = "vendors/aurora"


class Forger:
    """The operator's side, all in the attacker's hand: whatever bodies it likes, hashed and signed anew."""

    def __init__(self, bodies: list[bytes], key: Ed25519PrivateKey = KEY) -> None:
        self.bodies, self.key = list(bodies), key
        # What it serves as hashes; of its bodies, unless the attack says otherwise.
        self.served: list[bytes] | None = None

    def fetch(self, path: str, query: Mapping[str, int]) -> Any:
        """Answer as the service would."""
        hashes = [merkle.leaf_hash(body) for body in self.bodies]
        if path == "head":
            head = Checkpoint("palaestra/audit/x", len(hashes), merkle.root_of(hashes))
            public = self.key.public_key().public_bytes_raw()
            note = merkle.signed_note(head, public, self.key.sign(head.text().encode()))
            return {"head": note, "public_key": public.hex()}
        if path == "consistency":
            if query["first"] > query["second"]:
                return {"proof": []}
            proof = merkle.consistency_proof(
                query["first"], query["second"], lambda begin, end: merkle.root_of(hashes[begin:end])
            )
            return {"proof": [one.hex() for one in proof]}
        if path == "hashes":
            some = (self.served or hashes)[query["begin"] : query["begin"] + query["size"]]
            return {"hashes": base64.b64encode(b"".join(some)).decode()}
        assert path == "leaves"
        own = [
            {"index": index, "body": body.decode(), "openings": {}}
            for index, body in enumerate(self.bodies)
            if index > query["after"] and json.loads(body)["fields"].get("provider") == VENDOR
        ]
        page = {"leaves": own[: query["size"]]}
        return page | ({"next": own[query["size"] - 1]["index"]} if len(own) > query["size"] else {})


def bodies(count: int) -> list[bytes]:
    """Return leaves, every second one the vendor's own."""
    return [
        leaf_of("decision", {"provider": VENDOR if number % 2 else "vendors/x", "about": number}, number).body
        for number in range(count)
    ]


def tampered(kind: str, were: list[bytes], index: int) -> tuple[list[bytes], int]:
    """Return what an attack makes of the leaves, and the first leaf that is wrong then."""
    now = list(were)
    if kind == "edit":
        now[index] = leaf_of("decision", {"provider": "vendors/x", "about": "another"}, 1).body
    elif kind == "deletion":
        del now[index]
        # With as many leaves as before, so that their number does not tell.
        now.append(leaf_of("decision", {"provider": "vendors/x"}, 1).body)
    elif kind == "insertion":
        now.insert(index, leaf_of("decision", {"provider": "vendors/x"}, 1).body)
    elif kind == "reordering":
        other = (index + 1) % len(now)
        now[index], now[other] = now[other], now[index]
        index = min(index, other)
    else:
        now = now[:index]
    return now, index


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    count=st.integers(2, 40),
    kind=st.sampled_from(["edit", "deletion", "insertion", "reordering", "truncation"]),
    later=st.integers(0, 5),
    data=st.data(),
)
def test_any_change_of_any_leaf_is_located(
    tmp_path_factory: pytest.TempPathFactory, count: int, kind: str, later: int, data: st.DataObject
) -> None:
    """Whatever is done to a leaf that a vendor has seen, it names the first one that is wrong, and what was done."""
    folder = tmp_path_factory.mktemp("witness")
    were = bodies(count)
    witness = Witness(folder)
    witness.check(Forger(were).fetch)
    index = data.draw(st.integers(0, count - 1))
    now, wrong = tampered(kind, were, index)
    now += bodies(later) if kind != "truncation" else []

    for full in (True, False):
        with pytest.raises(Tampered) as caught:
            witness.check(Forger(now).fetch, full=full)
        assert caught.value.index == wrong
        if kind != "insertion" or index < count - 1:
            # Removing the last leaf and adding another is editing it.
            assert caught.value.kind == kind or (kind, index) == ("deletion", count - 1)
    # The evidence stays: asked again, it is still found.
    with pytest.raises(Tampered):
        witness.check(Forger(now).fetch)
    # Mutant: without what it kept, the vendor finds nothing.
    shutil.rmtree(folder)
    assert Witness(folder).check(Forger(now).fetch).size == len(now)


def test_two_vendors_who_are_shown_unlike_logs_find_the_first_leaf(tmp_path: Path) -> None:
    """A fork: each log is whole by itself. Compared, they part at the leaf."""
    common = bodies(9)
    one, two = Witness(tmp_path / "one"), Witness(tmp_path / "two")
    one.check(Forger([*common, *bodies(5)]).fetch)
    two.check(Forger([*common, *bodies(3)]).fetch)
    with pytest.raises(Tampered) as caught:
        one.compare(two)
    assert (caught.value.kind, caught.value.index) == ("fork", 9)
    two = Witness(tmp_path / "three")
    two.check(Forger(common).fetch)
    assert one.compare(two) == 9


def test_a_log_that_shows_other_hashes_than_it_signs_is_a_fork(tmp_path: Path) -> None:
    """From the first leaf on that the vendor had not yet seen."""
    witness = Witness(tmp_path)
    were = bodies(6)
    witness.check(Forger(were).fetch)
    forger = Forger(were + bodies(4))
    forger.served = [merkle.leaf_hash(body) for body in were + bodies(4)]
    with pytest.raises(Tampered) as caught:
        witness.check(forger.fetch)
    assert (caught.value.kind, caught.value.index) == ("fork", 6)


def test_an_own_leaf_whose_text_is_not_what_was_hashed_is_named(tmp_path: Path) -> None:
    """Somebody edits the text and leaves the hashes: the vendor reads its own leaves too."""
    were = bodies(8)
    forger = Forger(were)
    forger.served = [merkle.leaf_hash(body) for body in were]
    witness = Witness(tmp_path)
    witness.check(forger.fetch)

    def lying(path: str, query: Mapping[str, int]) -> Any:
        answer = forger.fetch(path, query)
        if path == "leaves":
            for one in answer["leaves"]:
                if one["index"] == 5:
                    one["body"] = one["body"].replace('"about":5', '"about":6')
        return answer

    with pytest.raises(Tampered) as caught:
        witness.check(lying)
    assert (caught.value.kind, caught.value.index) == ("edit", 5)


def test_another_key_is_not_the_log_that_the_vendor_knows(tmp_path: Path) -> None:
    """The key of the first time is kept; whoever signs with another is refused."""
    witness = Witness(tmp_path)
    witness.check(Forger(bodies(3)).fetch)
    with pytest.raises(BadNote):
        witness.check(Forger(bodies(3), Ed25519PrivateKey.generate()).fetch)
