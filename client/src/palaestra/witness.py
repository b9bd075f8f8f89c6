"""A vendor's side of the audit: heads and hashes kept on its own disk, against which the log is checked each time.

    folder/key        the log's public key, as it was when the vendor first looked
    folder/head       the last head that was checked, a signed note
    folder/hashes     the hash of every leaf up to that head, 32 bytes each; they tell nothing of what the leaves say

Who keeps these finds out whatever is changed later, and at which leaf.
"""

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palaestra import login, merkle
from palaestra.merkle import HASH_BYTES, BadNote, BadProof, Checkpoint, Frontier

Fetch = Callable[[str, Mapping[str, int]], Any]
"""Returns the JSON at a path below `/sharing/v1/audit/`, such as `head`. Raises PalaestraError."""


class Tampered(Exception):
    """The log is not what it was, or not one. index: The first leaf that is wrong. kind: What was done, as it seems."""

    def __init__(self, kind: str, index: int, why: str) -> None:
        super().__init__(f"{kind} at leaf {index}: {why}")
        self.kind, self.index = kind, index


@dataclass(frozen=True)
class Checked:
    """What was checked. new: Leaves since the last time. own: Leaves of the vendor's own that were read."""

    size: int
    root: bytes
    new: int
    own: int


class Witness:
    """The folder of one vendor for one log."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def head(self) -> str:
        """Return the last head that was checked; "" before the first."""
        return self._text("head")

    def hashes(self) -> bytes:
        """Return the kept hashes of all leaves up to the last head."""
        path = self._folder / "hashes"
        return path.read_bytes() if path.exists() else b""

    def check(self, fetch: Fetch, *, full: bool = True) -> Checked:
        """Check the log against what is kept, and keep what is new of it.

        Args:
            full: Read all hashes and all own leaves again, not only those since the last time.

        Raises:
            Tampered: It was changed; what is kept stays as it is, as evidence.
            BadNote: The head is not signed by the key that is kept.
        """
        told = fetch("head", {})
        head = self._open(str(told["head"]), str(told["public_key"]))
        kept, known = self._kept()
        if head.size < known.size:
            raise Tampered("truncation", head.size, f"there were {known.size} leaves, and now there are {head.size}")
        proof = [
            bytes.fromhex(one) for one in fetch("consistency", {"first": known.size, "second": head.size})["proof"]
        ]
        try:
            merkle.check_consistency(known.size, known.root, head.size, head.root, proof)
            agrees = True
        except BadProof:
            agrees = False
        begin = 0 if full or not agrees else known.size
        served = b"" if begin == 0 else kept
        served += _hashes(fetch, begin, head.size)
        tree = Frontier()
        for found in _each(served):
            tree.append(found)
        wrong = first_difference(kept, served[: len(kept)])
        if wrong is not None:
            raise Tampered(kind_of(kept, served, wrong), wrong, "its hash is not the one that was kept")
        if not agrees or tree.root() != head.root:
            raise Tampered("fork", known.size, f"the head's root is not that of the {head.size} leaves that are shown")
        own = self._own(fetch, served, after=-1 if full else known.size - 1)
        self._keep(str(told["head"]), served, str(told["public_key"]))
        return Checked(head.size, head.root, head.size - known.size, own)

    def compare(self, other: "Witness") -> int:
        """Compare with another vendor's folder for the same log; return how many leaves both have seen alike.

        Raises Tampered: each was shown a log of its own.
        """
        mine, theirs = self.hashes(), other.hashes()
        common = min(len(mine), len(theirs))
        wrong = first_difference(mine[:common], theirs[:common])
        if wrong is not None:
            raise Tampered("fork", wrong, "the other vendor was shown another leaf")
        return common // HASH_BYTES

    def _open(self, note: str, public_key: str) -> Checkpoint:
        pinned = self._text("key") or public_key
        try:
            return merkle.open_note(note, bytes.fromhex(pinned))
        except ValueError:
            raise BadNote("the log's key is no key") from None

    def _kept(self) -> tuple[bytes, Checkpoint]:
        """Return what is kept. Raises Tampered if the folder itself does not agree with its head."""
        hashes, note = self.hashes(), self.head()
        if not note:
            return b"", Checkpoint("", 0, merkle.EMPTY)
        head = merkle.open_note(note, bytes.fromhex(self._text("key")))
        # A crash may have left hashes beyond the head, which is written last.
        hashes = hashes[: head.size * HASH_BYTES]
        if merkle.root_of(_each(hashes)) != head.root:
            raise Tampered("damage", len(hashes) // HASH_BYTES, "the kept hashes are not those of the kept head")
        return hashes, head

    def _own(self, fetch: Fetch, hashes: bytes, after: int) -> int:
        """Return how many own leaves there are after an index, each checked against its hash."""
        count = 0
        while True:
            page = fetch("leaves", {"after": after, "size": 200})
            for told in page["leaves"]:
                index, body = int(told["index"]), str(told["body"])
                if index <= after or (index + 1) * HASH_BYTES > len(hashes):
                    if index <= after:
                        raise Tampered("reordering", index, "own leaves do not come in their order")
                    return count
                if merkle.leaf_hash(body.encode()) != hashes[index * HASH_BYTES : (index + 1) * HASH_BYTES]:
                    raise Tampered("edit", index, "its text does not have its hash")
                _check_openings(index, body, told.get("openings", {}))
                after, count = index, count + 1
            if "next" not in page:
                return count

    def _keep(self, note: str, hashes: bytes, public_key: str) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._text("key"):
            _write(self._folder / "key", public_key.encode())
        _write(self._folder / "hashes", hashes)
        _write(self._folder / "head", note.encode())

    def _text(self, name: str) -> str:
        path = self._folder / name
        return path.read_text() if path.exists() else ""


def default_folder(environ: Mapping[str, str], profile: str | None = None) -> Path:
    """Return where a login's witness is if it is nowhere else: beside the logins."""
    stored = login.path_of(environ, profile or login.current(environ))
    return stored.parent.parent / "witness" / stored.stem


def first_difference(kept: bytes, served: bytes) -> int | None:
    """Return the first leaf at which two rows of hashes differ; None if they do not."""
    if kept == served:
        return None
    for index, (one, two) in enumerate(zip(_each(kept), _each(served), strict=False)):
        if one != two:
            return index
    return min(len(kept), len(served)) // HASH_BYTES


def kind_of(kept: bytes, served: bytes, index: int) -> str:
    """Return what was done at the first wrong leaf, as it seems: edit, deletion, insertion or reordering."""
    before, now = list(_each(kept)), list(_each(served))
    if sorted(before) == sorted(now[: len(before)]):
        return "reordering"
    if index + 1 < len(before) and now[index] == before[index + 1]:
        return "deletion"
    if index + 1 < len(now) and now[index + 1] == before[index]:
        return "insertion"
    return "edit"


def _hashes(fetch: Fetch, begin: int, end: int) -> bytes:
    """Return leaves' hashes from a log. Raises Tampered if it has fewer than its head says."""
    found: list[bytes] = []
    at = begin
    while at < end:
        try:
            page = base64.b64decode(str(fetch("hashes", {"begin": at, "size": min(8_192, end - at)})["hashes"]))
        except binascii.Error:
            page = b""
        if not page or len(page) % HASH_BYTES or at + len(page) // HASH_BYTES > end:
            raise Tampered("truncation", at, f"its hash is not shown, though the head says {end} leaves")
        found.append(page)
        at += len(page) // HASH_BYTES
    return b"".join(found)


def _check_openings(index: int, body: str, openings: Mapping[str, Any]) -> None:
    """Raise Tampered if what is said of a person is not what the leaf has the hash of."""
    fields = json.loads(body)["fields"]
    for name, told in openings.items():
        data = bytes.fromhex(str(told["salt"])) + str(told["value"]).encode()
        if fields.get(name) != f"sha256:{hashlib.sha256(data).hexdigest()}":
            raise Tampered("edit", index, f"{name} is not what the leaf has the hash of")


def _each(hashes: bytes) -> Sequence[bytes]:
    return [hashes[begin : begin + HASH_BYTES] for begin in range(0, len(hashes), HASH_BYTES)]


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
