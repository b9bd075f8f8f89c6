"""What nothing names goes, and nothing else: not what is young, is being put, or is named meanwhile."""

import io
import json
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store import BrokenObject, LocalObjects, ObjectNotFound, StoreFull
from store.command import names_of
from store.sweep import MARKS, REMOVED, Decision, decide, imported, receipts, sweep

DAY_S = 86_400.0
DAY_NS = 86_400 * 10**9


class Shop:
    """An object store whose time goes as the test says: days after what its files say."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.objects = LocalObjects(root)
        self.now_ns = 0

    def put(self, content: str) -> str:
        source = self.root / "source"
        source.write_text(content)
        sha256 = self.objects.put_file(source, move=True).sha256
        self.now_ns = self.objects.put_at(sha256)[0]
        return sha256

    def sweep(self, *named: str, days: float, apply: bool = True) -> "tuple[int, int]":
        """Sweep so many days from the last put; return how many were removed and are marked."""
        now_ns = self.now_ns + int(days * DAY_NS)
        wanted = dict.fromkeys(named, True)
        found = sweep(self.objects, self.root, wanted, apply=apply, now_ns=now_ns, grace_s=DAY_S, wait_s=DAY_S)
        return found.removed, found.marked


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_what_nothing_names_is_marked_by_one_sweep_and_removed_by_a_later_one(shop: Shop) -> None:
    kept, lost = shop.put("kept"), shop.put("lost")

    assert shop.sweep(kept, days=0.5) == (0, 0)  # too young
    assert shop.sweep(kept, days=1.5) == (0, 1)
    assert shop.sweep(kept, days=2.0) == (0, 1)  # marked half a day ago
    assert shop.sweep(kept, days=2.6) == (1, 0)

    assert list(shop.objects.digests()) == [kept]
    (line,) = (shop.root / REMOVED).read_text().splitlines()
    assert json.loads(line)["sha256"] == lost


def test_without_apply_nothing_is_changed_and_the_same_is_told(shop: Shop) -> None:
    shop.put("lost")
    before = sorted(path.name for path in shop.root.iterdir())

    assert shop.sweep(days=2, apply=False) == (0, 1)
    assert sorted(path.name for path in shop.root.iterdir()) == before
    shop.sweep(days=2)
    marks = (shop.root / MARKS).read_text()

    assert shop.sweep(days=4, apply=False) == (1, 0)
    assert len(list(shop.objects.digests())) == 1
    assert (shop.root / MARKS).read_text() == marks
    assert not (shop.root / REMOVED).exists()


def test_what_is_named_again_after_its_mark_stays(shop: Shop) -> None:
    one = shop.put("one")
    shop.sweep(days=2)

    assert shop.sweep(one, days=4) == (0, 0)
    # And its mark is gone: it takes two sweeps again.
    assert shop.sweep(days=5) == (0, 1)


def test_what_is_put_again_between_the_look_and_the_removal_stays(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The sweep has decided; then a recorder seals the same bytes, whose name nobody has yet."""
    one = shop.put("one")
    shop.sweep(days=2)
    again = tmp_path / "again"

    times = [shop.objects.put_at(one)]

    class Late(LocalObjects):
        def delete_if_put_before(self, sha256: str, before_ns: int) -> "int | None":
            again.write_text("one")
            LocalObjects(shop.root).put_file(again, move=True)
            times.append((now_ns, 3))
            return super().delete_if_put_before(sha256, before_ns)

    now_ns = shop.now_ns + 4 * DAY_NS
    # What is put now is put at the sweep's time, not at the file system's.
    monkeypatch.setattr(LocalObjects, "put_at", lambda self, sha256: times[-1])
    found = sweep(Late(shop.root), shop.root, {}, apply=True, now_ns=now_ns, grace_s=DAY_S, wait_s=DAY_S)

    assert found.removed == 0
    assert list(shop.objects.digests()) == [one]


def test_nothing_is_removed_while_somebody_puts(shop: Shop, tmp_path: Path) -> None:
    """Held up in the midst of a put, a removal waits; without the lock it would not."""
    one = shop.put("one")
    removed = threading.Event()

    def remove() -> None:
        shop.objects.delete_if_put_before(one, shop.now_ns + DAY_NS)
        removed.set()

    thread = threading.Thread(target=remove)
    with shop.objects.locked():
        thread.start()
        assert not removed.wait(0.2)
        assert shop.objects.path_of(one).exists()
    thread.join()
    with pytest.raises(ObjectNotFound):
        shop.objects.path_of(one)


def test_two_who_put_do_not_take_each_other_s_lock_away(shop: Shop) -> None:
    """Locks of one process: the first to end must not end the other's."""
    one = shop.put("one")
    outer = shop.objects.locked()
    outer.__enter__()
    with shop.objects.locked():
        pass
    thread = threading.Thread(target=shop.objects.delete_if_put_before, args=(one, shop.now_ns + DAY_NS))
    thread.start()
    thread.join(0.2)
    assert thread.is_alive()
    outer.__exit__(None, None, None)
    thread.join()


@pytest.mark.parametrize("at", ["marks", "log"])
def test_a_full_disk_removes_nothing_that_is_not_written_down(
    shop: Shop, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = shop.put("one")
    shop.sweep(days=2)
    marks = (shop.root / MARKS).read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(28, "no space")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreFull):
        shop.sweep(*([one] if at == "marks" else []), days=4)

    assert list(shop.objects.digests()) == [one]
    assert (shop.root / MARKS).read_bytes() == marks


def test_marks_that_are_none_are_refused(shop: Shop) -> None:
    shop.put("one")
    for broken in ('["x"]', "{", '{"short": 1}', json.dumps({"0" * 64: "yesterday"})):
        (shop.root / MARKS).write_text(broken)
        with pytest.raises(BrokenObject, match=r"unnamed.json"):
            shop.sweep(days=9)
    assert len(list(shop.objects.digests())) == 1


def test_a_named_object_that_is_not_there_is_told(shop: Shop) -> None:
    found = sweep(shop.objects, shop.root, {"0" * 64: True, "1" * 64: False}, apply=True)
    assert found.missing == ("0" * 64,)


def test_receipts_of_recorders_and_imports_name_objects(tmp_path: Path) -> None:
    (tmp_path / "a.sealed").write_text("a" * 64)
    (tmp_path / "b.sealed").write_text("torn")
    (tmp_path / "c.json").write_text(json.dumps({"episodes": [{"sha256": "c" * 64}]}))
    (tmp_path / "old.json").write_text(json.dumps({"episodes": [{"sha256": "d" * 64}]}))
    os.utime(tmp_path / "old.json", (1.0, 1.0))

    assert list(receipts(tmp_path)) == ["a" * 64]
    assert list(imported(tmp_path)) == ["c" * 64]
    (tmp_path / "c.json").write_text("[]")
    with pytest.raises(BrokenObject, match=r"c\.json"):
        list(imported(tmp_path))


def test_a_list_of_names_that_was_cut_off_is_refused() -> None:
    one, two = "1" * 64, "2" * 64
    assert names_of(io.StringIO(f"{one} needed\n{two}\n{one}\nend\n")) == {one: True, two: False}
    for lines, why in (((one,), "no last line"), ((one[:-1], "end"), "names:"), ((), "no last line")):
        with pytest.raises(ValueError, match=why):
            names_of(lines)


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 100)), unique_by=lambda one: one[0]),
    st.dictionaries(st.integers(0, 9), st.integers(0, 120)),
    st.integers(0, 100),
)
def test_only_what_is_old_and_was_marked_long_ago_and_not_put_since_is_removed(
    unnamed: list[tuple[int, int]], marks: dict[int, int], now_s: int
) -> None:
    """Any times, also marks of a clock that was ahead; the others are young or marked, for they must go one day."""
    names = {number: f"{number:064x}" for number in range(10)}
    found: Decision = decide(
        [(names[number], put_s * 10**9) for number, put_s in unnamed],
        {names[number]: since_s * 10**9 for number, since_s in marks.items()},
        now_ns=now_s * 10**9,
        grace_s=20.0,
        wait_s=10.0,
    )

    put = dict(unnamed)
    for sha256 in found.remove:
        number = int(sha256, 16)
        assert put[number] <= now_s - 20
        assert put[number] <= marks[number] <= now_s - 10
    assert len(found.remove) + len(found.marks) + found.young == len(put)
    assert all(since_ns <= now_s * 10**9 for since_ns in found.marks.values())
