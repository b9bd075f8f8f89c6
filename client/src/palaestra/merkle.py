"""The audit's Merkle tree: hashes, proofs and signed heads, and how each is checked. Pure functions.

Hashes are those of RFC 6962, section 2.1: a leaf is SHA-256 of a zero byte and its data, a node that of a one byte and
its two children, the empty tree that of nothing. Proofs are checked as RFC 9162, sections 2.1.3.2 and 2.1.4.2, says. A
head is a checkpoint of C2SP (`tlog-checkpoint`): origin, size and root in a signed note.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Self

EMPTY = hashlib.sha256().digest()
"""The root of the tree without leaves."""
HASH_BYTES = 32
SIZE_MAX = 2**62
NOTE_BYTES_MAX = 4_096
_ED25519 = b"\x01"

Subtree = Callable[[int, int], bytes]
"""Returns the root over the leaves from a first up to and without a last one."""


class BadProof(Exception):
    """A proof does not show what it is said to show."""


class BadNote(Exception):
    """A text that is no checkpoint, or is not signed by the key."""


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of a node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """A tree of which only the right edge is kept: enough to append leaves and to tell the root.

    Attributes:
        size: How many leaves there are.
        roots: Roots of the complete trees that the leaves make up, the largest first; as many as `size` has set bits.
    """

    def __init__(self, size: int = 0, roots: Sequence[bytes] = ()) -> None:
        if size.bit_count() != len(roots):
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} roots, not {len(roots)}")
        self.size, self.roots = size, list(roots)

    def append(self, leaf: bytes) -> list[tuple[int, int, bytes]]:
        """Append a leaf's hash; return the nodes that became complete: (level, number in it, hash), leaves' level 0."""
        made, level, number, found = [], 0, self.size, leaf
        while number & 1:
            found = node_hash(self.roots.pop(), found)
            level, number = level + 1, number >> 1
            made.append((level, number, found))
        self.roots.append(found)
        self.size += 1
        return made

    def root(self) -> bytes:
        """Return the root of the whole tree."""
        if not self.roots:
            return EMPTY
        found = self.roots[-1]
        for left in reversed(self.roots[:-1]):
            found = node_hash(left, found)
        return found

    def copy(self) -> "Frontier":
        """Return one that grows by itself."""
        return Frontier(self.size, self.roots)


def root_of(leaves: Iterable[bytes]) -> bytes:
    """Return the root over leaves' hashes."""
    tree = Frontier()
    for leaf in leaves:
        tree.append(leaf)
    return tree.root()


def split(size: int) -> int:
    """Return the largest power of two below a size of at least 2."""
    return 1 << (size - 1).bit_length() - 1


def inclusion_proof(index: int, size: int, subtree: Subtree) -> list[bytes]:
    """Return PATH(index, D[size]) of RFC 6962. Raises ValueError for an index beyond the tree."""
    if not 0 <= index < size:
        raise ValueError(f"no leaf {index} in a tree of {size}")
    path, begin, end = [], 0, size
    while end - begin > 1:
        middle = begin + split(end - begin)
        if index < middle:
            path.append(subtree(middle, end))
            end = middle
        else:
            path.append(subtree(begin, middle))
            begin = middle
    return path[::-1]


def consistency_proof(first: int, second: int, subtree: Subtree) -> list[bytes]:
    """Return PROOF(first, D[second]) of RFC 6962. Raises ValueError unless 0 <= first <= second."""
    if not 0 <= first <= second:
        raise ValueError(f"no tree of {first} leaves comes before one of {second}")
    if first in (0, second):
        return []
    path, begin, end, whole = [], 0, second, True
    while first != end:
        middle = begin + split(end - begin)
        if first <= middle:
            path.append(subtree(middle, end))
            end = middle
        else:
            path.append(subtree(begin, middle))
            begin, whole = middle, False
    if not whole:
        path.append(subtree(begin, end))
    return path[::-1]


def check_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Return if a leaf's hash is at an index of the tree with this size and root. Raises BadProof."""
    if not 0 <= index < size:
        raise BadProof(f"no leaf {index} in a tree of {size}")
    number, last, found = index, size - 1, leaf
    for step in proof:
        if last == 0:
            raise BadProof("the proof is too long")
        if number & 1 or number == last:
            found = node_hash(step, found)
            while not number & 1 and number:
                number, last = number >> 1, last >> 1
        else:
            found = node_hash(found, step)
        number, last = number >> 1, last >> 1
    if last or found != root:
        raise BadProof(f"leaf {index} is not in the tree of {size} with this root")


def check_consistency(first: int, first_root: bytes, second: int, second_root: bytes, proof: Sequence[bytes]) -> None:
    """Return if the tree of `second` leaves begins with that of `first`. Raises BadProof."""
    if not 0 <= first <= second:
        raise BadProof(f"a tree of {second} leaves does not begin with one of {first}")
    if first == 0 or first == second:
        if proof or (first == second and first_root != second_root) or (first == 0 and first_root != EMPTY):
            raise BadProof(f"the trees of {first} and {second} leaves do not agree")
        return
    path = list(proof)
    if first & (first - 1) == 0:
        path.insert(0, first_root)
    if not path:
        raise BadProof("the proof is empty")
    number, last = first - 1, second - 1
    while number & 1:
        number, last = number >> 1, last >> 1
    before = after = path[0]
    for step in path[1:]:
        if last == 0:
            raise BadProof("the proof is too long")
        if number & 1 or number == last:
            before, after = node_hash(step, before), node_hash(step, after)
            while not number & 1 and number:
                number, last = number >> 1, last >> 1
        else:
            after = node_hash(after, step)
        number, last = number >> 1, last >> 1
    if last or before != first_root or after != second_root:
        raise BadProof(f"the tree of {second} leaves does not begin with that of {first}")


@dataclass(frozen=True)
class Checkpoint:
    """What a log says of itself: its name, how many leaves it has, and their root."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """Return the text that is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the checkpoint of a text. Raises BadNote."""
        found = re.fullmatch(r"([^\s+]{1,128})\n(0|[1-9][0-9]{0,18})\n([A-Za-z0-9+/]{43}=)\n", text)
        if found is None or int(found[2]) > SIZE_MAX:
            raise BadNote("not a checkpoint: origin, size and root, each on its line")
        return cls(found[1], int(found[2]), base64.b64decode(found[3]))


def key_id(origin: str, public_key: bytes) -> bytes:
    """Return the four bytes by which a note names a key (C2SP `signed-note`)."""
    return hashlib.sha256(origin.encode() + b"\n" + _ED25519 + public_key).digest()[:4]


def signed_note(checkpoint: Checkpoint, public_key: bytes, signature: bytes) -> str:
    """Return the note: the text and a line with its Ed25519 signature."""
    line = base64.b64encode(key_id(checkpoint.origin, public_key) + signature).decode()
    return f"{checkpoint.text()}\n\N{EM DASH} {checkpoint.origin} {line}\n"


def open_note(note: str, public_key: bytes) -> Checkpoint:
    """Return the checkpoint of a note that the key has signed. Raises BadNote."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    text, _, lines = note.partition("\n\n")
    if len(note) > NOTE_BYTES_MAX or not lines.endswith("\n"):
        raise BadNote("not a signed note")
    text += "\n"
    checkpoint = Checkpoint.parse(text)
    for line in lines[:-1].split("\n"):
        found = re.fullmatch("\N{EM DASH} (\\S+) (\\S+)", line)
        if found is None:
            raise BadNote("not a line with a signature")
        try:
            data = base64.b64decode(found[2], validate=True)
        except binascii.Error:
            raise BadNote("not a signature") from None
        if found[1] != checkpoint.origin or data[:4] != key_id(checkpoint.origin, public_key):
            # Of a key that is not known here; others may sign too.
            continue
        try:
            Ed25519PublicKey.from_public_bytes(public_key).verify(data[4:], text.encode())
        except (InvalidSignature, ValueError):
            break
        return checkpoint
    raise BadNote("not signed by the log's key")
