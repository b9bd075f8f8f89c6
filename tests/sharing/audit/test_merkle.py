"""The tree's hashes and proofs: against the vectors of Certificate Transparency, and against the definition."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra import merkle
from palaestra.merkle import BadNote, BadProof, Checkpoint, Frontier

# Leaves and roots of the reference test of Certificate Transparency (google/certificate-transparency, merkletree).
LEAVES = [bytes.fromhex(text) for text in ("", "00", "10", "2021", "3031", "40414243")] + [
    bytes.fromhex("5051525354555657"),
    bytes.fromhex("606162636465666768696a6b6c6d6e6f"),
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def reference(leaves: list[bytes]) -> bytes:
    """Return MTH of RFC 6962, word for word."""
    if not leaves:
        return merkle.EMPTY
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return merkle.node_hash(reference(leaves[:k]), reference(leaves[k:]))


def test_roots_are_those_of_certificate_transparency() -> None:
    """Every size of the reference test, and the empty tree."""
    assert merkle.EMPTY.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    for size, root in enumerate(ROOTS, 1):
        assert merkle.root_of(map(merkle.leaf_hash, LEAVES[:size])).hex() == root


def test_proofs_of_all_sizes_hold_and_no_others() -> None:
    """Sizes 0 to 70: each leaf's inclusion, each pair's consistency; any other index, size or root is refused."""
    hashes = [merkle.leaf_hash(bytes([number])) for number in range(71)]
    chance = random.Random(3)
    roots = [reference(hashes[:size]) for size in range(72)]
    known: dict[tuple[int, int], bytes] = {}

    def subtree(begin: int, end: int) -> bytes:
        if (begin, end) not in known:
            known[begin, end] = reference(hashes[begin:end])
        return known[begin, end]

    for size in range(71):
        assert merkle.root_of(hashes[:size]) == roots[size]
        for index in range(size):
            proof = merkle.inclusion_proof(index, size, subtree)
            merkle.check_inclusion(hashes[index], index, size, proof, roots[size])
            other = chance.randrange(70)
            if other != index:
                with pytest.raises(BadProof):
                    merkle.check_inclusion(hashes[index], other, size, proof, roots[size])
            with pytest.raises(BadProof):
                merkle.check_inclusion(hashes[index], index, size, proof, roots[size + 1])
        for first in range(size + 1):
            proof = merkle.consistency_proof(first, size, subtree)
            merkle.check_consistency(first, roots[first], size, roots[size], proof)
            if 0 < first < size:
                with pytest.raises(BadProof):
                    merkle.check_consistency(first, roots[first - 1], size, roots[size], proof)
                with pytest.raises(BadProof):
                    merkle.check_consistency(first, roots[first], size, roots[size + 1], proof)
                for broken in (proof[:-1], [*proof, merkle.EMPTY]):
                    with pytest.raises(BadProof):
                        merkle.check_consistency(first, roots[first], size, roots[size], broken)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 70), st.data())
def test_a_tree_grown_leaf_by_leaf_knows_every_complete_subtree(size: int, data: st.DataObject) -> None:
    """What `append` returns are the roots of aligned subtrees, and going on from a copy of the edge is the same."""
    hashes = [merkle.leaf_hash(bytes([number])) for number in range(size)]
    tree, nodes = Frontier(), {}
    for found in hashes:
        for level, number, made in tree.append(found):
            nodes[level, number] = made
    for (level, number), made in nodes.items():
        assert made == reference(hashes[number << level : (number + 1) << level])
    at = data.draw(st.integers(0, size))
    part = Frontier()
    for found in hashes[:at]:
        part.append(found)
    again = part.copy()
    for found in hashes[at:]:
        again.append(found)
    assert again.root() == tree.root() and part.size == at


@pytest.mark.parametrize(
    "text",
    [
        "",
        "o\n1\n",
        "o\n01\n" + "A" * 43 + "=\n",
        "o\n-1\n" + "A" * 43 + "=\n",
        "o\n1\n" + "A" * 43 + "=\nmore\n",
        "a b\n1\n" + "A" * 43 + "=\n",
        "o\n9999999999999999999\n" + "A" * 43 + "=\n",
    ],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    """Missing lines, sizes that are none, extensions that nobody made."""
    with pytest.raises(BadNote):
        Checkpoint.parse(text)


def test_a_note_holds_for_its_text_and_key_alone() -> None:
    """Another size, another key, a signature of somebody else's: refused."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    public, foreign = key.public_key().public_bytes_raw(), other.public_key().public_bytes_raw()
    head = Checkpoint("palaestra/audit/x", 7, bytes(32))
    note = merkle.signed_note(head, public, key.sign(head.text().encode()))
    assert merkle.open_note(note, public) == head
    for broken, by in (
        (note.replace("\n7\n", "\n8\n"), public),
        (note, foreign),
        (merkle.signed_note(head, public, other.sign(head.text().encode())), public),
        (note.rstrip("\n"), public),
        (note + "x" * 5000, public),
    ):
        with pytest.raises(BadNote):
            merkle.open_note(broken, by)
