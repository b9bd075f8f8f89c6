"""Removal of objects that nothing names: marked by one sweep, removed by a later one, never while they are young.

An object is put first and named afterwards, by the catalogue's transaction or a job's. So a sweep removes only what

- nothing names now, nor did at an earlier sweep, at least `wait_s` ago, and
- was put, or put again, at least `grace_s` ago; that is looked at once more with all putting held up.

What names an object that is here has put it, or has it from somebody who is named: so nothing gets its first name in
between but by a put, which makes the object young again. What is removed is written down first.
"""

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from palaestra.failpoint import Failpoint
from store.errors import BrokenObject, InvalidDigest, ObjectNotFound
from store.objects import ObjectStore, check_digest, room_for, sync_folder

GRACE_S = 86_400.0
"""From the put to the name it may take as long as a scheduler cannot be reached."""
WAIT_S = 3_600.0
IMPORT_S = 30 * 86_400.0
"""So long an import names what it made, entered or not."""
BATCH = 500
MARKS, REMOVED = "unnamed.json", "removed.jsonl"
SWEEPING = Failpoint("store.sweep.removing", "what a sweep removes is written down; nothing of it is removed yet")


@dataclass(frozen=True)
class Decision:
    """What becomes of the objects that nothing names.

    Attributes:
        remove: Those to be removed now, by name.
        marks: Since when each of the others is known to be named by nobody [ns since 1970].
        young: How many are not marked, for they were put lately.
    """

    remove: tuple[str, ...]
    marks: Mapping[str, int]
    young: int


@dataclass(frozen=True)
class Swept:
    """What a sweep found and did. `missing`: names without an object, which nobody but an operator can explain."""

    objects: int
    named: int
    young: int
    marked: int
    removed: int
    freed_bytes: int
    missing: tuple[str, ...] = field(default=())


def decide(
    unnamed: Iterable[tuple[str, int]], marks: Mapping[str, int], *, now_ns: int, grace_s: float, wait_s: float
) -> Decision:
    """Decide about objects that nothing names.

    Args:
        unnamed: Their names, and when each was put [ns since 1970].
        marks: Since when a sweep knows that [ns since 1970].
    """
    remove, left, young = [], {}, 0
    for sha256, put_ns in unnamed:
        since_ns = marks.get(sha256, now_ns)
        if put_ns > now_ns - grace_s * 1e9:
            young += 1  # also one that was marked, and put again
        elif since_ns <= now_ns - wait_s * 1e9 and sha256 in marks and put_ns <= since_ns:
            remove.append(sha256)
        else:
            # A clock that was set back must not keep it for ever.
            left[sha256] = min(since_ns, now_ns) if put_ns <= since_ns else now_ns
    return Decision(tuple(remove), left, young)


def sweep(
    objects: ObjectStore,
    folder: Path,
    named: Mapping[str, bool],
    *,
    apply: bool,
    now_ns: int | None = None,
    grace_s: float = GRACE_S,
    wait_s: float = WAIT_S,
) -> Swept:
    """Mark what nothing names, and remove what was marked before and is still named by nobody.

    Args:
        folder: Of the objects on this machine: where the marks are, and what was removed is written down.
        named: Every object that anything names, gathered after the last of them could have become so by what is here:
            receipts in the spool too (`receipts`); and whether it has to be there.
        apply: Else nothing is changed, and what would be is told.
        now_ns: Time since 1970; None: now.

    Raises:
        StoreFull: No room to write down what is to be removed; it stays.
        BrokenObject: The marks are not what a sweep writes.
    """
    now_ns = time.time_ns() if now_ns is None else now_ns
    there: set[str] = set()
    unnamed = []
    for sha256 in objects.digests():
        if sha256 in named:
            there.add(sha256)
            continue
        try:
            unnamed.append((sha256, objects.put_at(sha256)[0]))
        except ObjectNotFound:
            continue
    decision = decide(unnamed, _read(folder / MARKS), now_ns=now_ns, grace_s=grace_s, wait_s=wait_s)
    removed = freed_bytes = 0
    left = iter(decision.remove)
    while some := list(islice(left, BATCH)):
        if apply:
            _write_down(folder / REMOVED, some, now_ns)
            SWEEPING()
        for sha256 in some:
            size_bytes = _remove(objects, sha256, int(now_ns - grace_s * 1e9), apply=apply)
            removed += size_bytes is not None
            freed_bytes += size_bytes or 0
    if apply:
        _write(folder / MARKS, decision.marks)
    missing = tuple(sorted(name for name, needed in named.items() if needed and name not in there))
    count = len(there) + len(unnamed)
    return Swept(count, len(there), decision.young, len(decision.marks), removed, freed_bytes, missing)


def receipts(spool: Path) -> Iterator[str]:
    """Yield the names of objects that recorders, living or dead, have sealed and may not have told of."""
    for path in spool.glob("*.sealed") if spool.is_dir() else ():
        try:
            yield check_digest(path.read_text())
        except FileNotFoundError:
            continue
        except (InvalidDigest, UnicodeDecodeError):
            # A torn one names nothing: nobody gives an object its name before the receipt is whole.
            continue


def imported(folder: Path | None) -> Iterator[str]:
    """Yield the names of objects that imports have made which nobody may have entered into a catalogue yet.

    Those of an import that is older than what is swept are the catalogue's to name: it has them, or has removed them.
    """
    newest_s = time.time() - IMPORT_S
    for path in folder.glob("*.json") if folder is not None and folder.is_dir() else ():
        try:
            if path.stat().st_mtime < newest_s:
                continue
            episodes = json.loads(path.read_text("utf-8"))["episodes"]
            yield from (check_digest(one["sha256"]) for one in episodes)
        except FileNotFoundError:
            continue
        except (InvalidDigest, ValueError, KeyError, TypeError) as error:
            raise BrokenObject(f"imports/{path.name}: no receipt of an import: {error}") from error


def _remove(objects: ObjectStore, sha256: str, before_ns: int, *, apply: bool) -> int | None:
    """Return the size of what was removed, or would be; None if it stays."""
    if apply:
        return objects.delete_if_put_before(sha256, before_ns)
    try:
        return objects.put_at(sha256)[1]
    except ObjectNotFound:
        return None


def _read(path: Path) -> Mapping[str, int]:
    try:
        marks = json.loads(path.read_text())
        if not isinstance(marks, dict) or not all(type(since) is int for since in marks.values()):
            raise ValueError("not a table of times")
        return {check_digest(sha256): since_ns for sha256, since_ns in marks.items()}
    except FileNotFoundError:
        return {}
    except (InvalidDigest, ValueError) as error:
        raise BrokenObject(f"{path.name}: {error}; deleted, sweeping begins anew") from error


def _write(path: Path, marks: Mapping[str, int]) -> None:
    with room_for(path.name):
        fresh = path.with_suffix(".new")
        with open(fresh, "w", encoding="utf-8") as file:
            json.dump(marks, file)
            file.flush()
            os.fsync(file.fileno())
        os.rename(fresh, path)
        sync_folder(path.parent)


def _write_down(path: Path, removed: Iterable[str], now_ns: int) -> None:
    at = datetime.fromtimestamp(now_ns // 1_000_000_000, UTC).isoformat()
    lines = [json.dumps({"time": at, "sha256": sha256, "why": "nothing names it"}) + "\n" for sha256 in removed]
    with room_for(path.name), open(path, "a", encoding="utf-8") as file:
        file.write("".join(lines))
        file.flush()
        os.fsync(file.fileno())
