"""What becomes of episodes whose recorder died: see also `test_crash.py`, where processes are killed."""

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import store.segment
from store import BrokenObject, LocalObjects, Outcome, Status, Stream, clean_spool, read_episode, recover_spool
from store.recorder import FLUSH_PERIOD_S
from store.segment import TOGETHER_MIN
from store.stream import IMU

SUCCESS = Outcome(Status.SUCCESS)


def die(recorder: Any) -> None:
    """Leave a recorder as a killed process does: its files stay, its lock goes."""
    if recorder._segment is not None:
        recorder._segment.close()
    recorder._segment = None
    recorder._claim.leave()
    recorder._closed = "dead"


def opened(house: Any, make_header: Any, *, flushes: int = 3) -> Any:
    """Return a recorder that has flushed ten rows of joints and twenty of an IMU so many times."""
    now_s = [0.0]
    header = make_header(streams={IMU: Stream("m/s^2, rad/s", "imu_link", 6)})
    recorder = house.recorder(header, clock=lambda: now_s[0])
    for part in range(flushes):
        now_s[0] += FLUSH_PERIOD_S
        recorder._due_s = now_s[0] + 1.0
        recorder.add(IMU, part + np.arange(20) / 20, np.full((20, 6), part))
        recorder._due_s = now_s[0]
        recorder.extend(part + np.arange(10) / 10, dict.fromkeys(header.signals, np.full((10, 3), part)))
    return recorder


def test_what_was_flushed_is_sealed_as_interrupted(house: Any, make_header: Any) -> None:
    recorder = opened(house, make_header)
    recorder._due_s = np.inf
    recorder.extend([7.0], dict.fromkeys(recorder.header.signals, np.zeros((1, 3))))
    die(recorder)

    (found,) = recover_spool(house.spool, house.objects)

    assert found.header == recorder.header
    assert found.outcome.status is Status.INTERRUPTED
    assert "30 rows were kept" in found.outcome.cause
    episode = read_episode(found.sealed.path, sha256=found.sealed.sha256)
    assert len(episode.time_s) == found.sealed.rows == 30
    assert episode.streams[IMU].values.shape == (60, 6)
    assert found.sealed.duration_s == pytest.approx(2.95)
    found.settled()
    assert house.leftovers() == []
    assert list(recover_spool(house.spool, house.objects)) == []


def test_an_episode_that_could_not_be_told_is_found_again_and_is_the_same(house: Any, make_header: Any) -> None:
    die(opened(house, make_header))
    (first,) = recover_spool(house.spool, house.objects)
    assert list(recover_spool(house.spool, house.objects)) == []
    first.left()

    (again,) = recover_spool(house.spool, house.objects)

    assert again.sealed.sha256 == first.sealed.sha256
    assert again.outcome == first.outcome
    assert again.sealed.rows == first.sealed.rows
    assert list(house.objects.digests()) == [first.sealed.sha256]


def test_a_sealed_episode_that_nobody_was_told_of_keeps_its_outcome(house: Any, make_header: Any) -> None:
    """The process died between the object and the catalogue's answer."""
    recorder = opened(house, make_header)
    sealed = recorder.seal(SUCCESS, hold=True)
    assert list(recover_spool(house.spool, house.objects)) == []
    sealed.settle(False)

    (found,) = recover_spool(house.spool, house.objects)

    assert found.outcome == SUCCESS
    assert (found.sealed.sha256, found.sealed.rows) == (sealed.sha256, sealed.rows)
    assert found.sealed.duration_s == pytest.approx(sealed.duration_s)
    found.settled()
    assert house.leftovers() == []


def test_a_held_episode_that_is_settled_leaves_nothing(house: Any, make_header: Any) -> None:
    sealed = opened(house, make_header).seal(SUCCESS, hold=True)
    sealed.settle(True)

    assert house.leftovers() == []


@pytest.mark.parametrize("flushes", [0, 3])
def test_every_cut_of_a_segment_keeps_the_whole_flushes_before_it(house: Any, make_header: Any, flushes: int) -> None:
    """Any length of the file, as a death or a power cut leaves it: never half a flush, never an error."""
    recorder = opened(house, make_header, flushes=flushes)
    die(recorder)
    whole = recorder._claim.path.read_bytes()
    kept = []
    for length in [*range(0, len(whole), 401), len(whole)]:
        for tail in (b"", b"\0" * 300):
            recorder._claim.path.write_bytes(whole[:length] + tail)
            found = list(recover_spool(house.spool, house.objects))
            kept.append(found[0].sealed.rows if found else 0)
            for one in found:
                read_episode(one.sealed.path, sha256=one.sealed.sha256)
                one.left()
                one._claim.receipt.unlink()

    assert set(kept) == {0, 10, 20, 30} if flushes else {0}
    assert kept == sorted(kept)


def test_one_that_cannot_be_read_now_keeps_nobody_waiting_and_stays(
    house: Any, make_header: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        die(opened(house, make_header))
    first, _ = sorted(house.spool.glob("*.spool"))

    def read(path: Any) -> Any:
        if path == first:
            raise OSError(errno.EIO, "no disk")
        return store.segment.read_segment(path)

    with monkeypatch.context() as patch:
        patch.setattr("store.recovery.read_segment", read)
        (found,) = recover_spool(house.spool, house.objects)
    found.settled()

    assert [path.name for path in house.leftovers()] == [first.name]
    (late,) = recover_spool(house.spool, house.objects)
    late.settled()
    assert house.leftovers() == []


def test_zeros_instead_of_rows_are_cut_off(house: Any, make_header: Any) -> None:
    """A power cut may leave the length of a file and not its bytes."""
    recorder = opened(house, make_header)
    die(recorder)
    data = recorder._claim.path.read_bytes()
    third = data.rindex(np.full(3, 2, np.float32).tobytes() * 5)
    recorder._claim.path.write_bytes(data[: third - 2000] + b"\0" * (len(data) - third + 2000))

    (found,) = recover_spool(house.spool, house.objects)

    assert found.sealed.rows in (10, 20)


def test_a_spool_is_swept_of_strays_and_of_nothing_that_lives(house: Any, make_header: Any) -> None:
    recorder = opened(house, make_header)
    (house.spool / "dead.sealed").write_text("x")
    (house.spool / "dead.sealing").write_text("y")
    (house.spool / "dead.spool").write_bytes(b"no segment")

    assert list(recover_spool(house.spool, house.objects)) == []

    assert {path.name for path in house.leftovers()} == {recorder._claim.path.name}
    assert clean_spool(house.spool) == 0
    assert recorder.seal(SUCCESS).rows == 30


def test_a_receipt_of_an_object_that_is_gone_loses_nothing(house: Any, make_header: Any) -> None:
    """The rows are in the segment still."""
    sealed = opened(house, make_header).seal(SUCCESS, hold=True)
    sealed.path.unlink()
    sealed.settle(False)

    (found,) = recover_spool(house.spool, house.objects)

    assert (found.outcome.status, found.sealed.rows) == (Status.INTERRUPTED, 30)


def test_a_flush_that_failed_fails_the_next_write_and_is_not_tried_again(
    house: Any, make_header: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alone and among many: Linux may have dropped what could not be written, so that another try would lie."""
    for count in (1, TOGETHER_MIN):
        recorders = [opened(house, make_header, flushes=1) for _ in range(count)]
        tries: list[int] = []

        def broken(descriptor: int, tries: list[int] = tries) -> None:
            tries.append(descriptor)
            raise OSError(errno.EIO, "no disk")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", broken)
            patch.setattr(store.segment, "sync_file_system", broken)
            store.segment.flush([recorder._segment._sync for recorder in recorders])
        assert len(tries) == count

        for recorder in recorders:
            with pytest.raises(OSError, match="no disk"):
                recorder.seal(SUCCESS)
    assert house.leftovers() == []
    assert list(house.objects.digests()) == []


def test_many_files_are_flushed_with_their_file_system_at_once(
    house: Any, make_header: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorders = [opened(house, make_header, flushes=1) for _ in range(TOGETHER_MIN)]
    flushed: list[int] = []
    monkeypatch.setattr(store.segment, "sync_file_system", flushed.append)

    store.segment.flush([recorder._segment._sync for recorder in recorders])

    assert len(flushed) == 1
    for recorder in recorders:
        recorder.abort()


SEALING = """
import os, signal, sys
from pathlib import Path
from palaestra.failpoint import Failpoint
from store import EpisodeHeader, EpisodeRecorder, LocalObjects, Outcome
root, text, place = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
now_s = [0.0]
recorder = EpisodeRecorder(
    EpisodeHeader.from_json(text), root / "spool", LocalObjects(root / "objects"), clock=lambda: now_s[0]
)
for part in range(2):
    now_s[0] += 1.0
    rows = [[float(part)] * 3] * 10
    recorder.extend([part + row / 10 for row in range(10)], dict.fromkeys(recorder.header.signals, rows))

def die(point):
    if point.name == place:
        os.kill(os.getpid(), signal.SIGKILL)

Failpoint.hook = die
recorder.seal(Outcome("success", episode_return=2.5), hold=True)
"""


@pytest.mark.parametrize("place", ["store.episode.written", "store.object.flushed", "store.object.named"])
def test_a_success_that_dies_while_it_is_sealed_stays_one(house: Any, make_header: Any, place: str) -> None:
    """Killed with the file whole, before it has its name and right after: told once, with all its rows."""
    command = [sys.executable, "-c", SEALING, str(house.root), make_header().to_json(), place]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL

    (found,) = recover_spool(house.spool, house.objects)

    assert (found.outcome, found.sealed.rows) == (Outcome(Status.SUCCESS, episode_return=2.5), 20)
    assert read_episode(found.sealed.path, sha256=found.sealed.sha256).outcome == found.outcome
    assert list(house.objects.digests()) == [found.sealed.sha256]
    found.left()
    (again,) = recover_spool(house.spool, house.objects)
    assert again.sealed.sha256 == found.sealed.sha256
    again.settled()
    assert house.leftovers() == []


@pytest.mark.parametrize("keep", [0, 100, -1])
def test_a_sealed_file_that_is_torn_gives_way_to_its_segment(house: Any, make_header: Any, keep: int) -> None:
    """As a power cut leaves it: the rows that were flushed are kept."""
    recorder = opened(house, make_header)
    whole = opened(house, make_header).seal(SUCCESS).path.read_bytes()
    die(recorder)
    recorder._claim.extra.write_bytes(whole[:keep])

    (found,) = recover_spool(house.spool, house.objects)

    assert (found.outcome.status, found.sealed.rows) == (Status.INTERRUPTED, 30)


def test_a_receipt_is_on_the_disk_before_the_object_has_its_name(
    house: Any, make_header: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Object's bytes, receipt and its folder, rename: in this order, or a power cut could lose the outcome."""
    recorder, calls, here = opened(house, make_header), [], threading.get_ident()
    fsync, rename = os.fsync, os.rename

    def seen_fsync(descriptor: int) -> None:
        # Segments are flushed behind the recorders, also those of other tests.
        if threading.get_ident() == here:
            calls.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).suffix)
        fsync(descriptor)

    def seen_rename(source: Any, target: Any) -> None:
        calls.append("rename")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(os, "rename", seen_rename)
    recorder.seal(SUCCESS, hold=True).settle(True)

    assert calls == [".sealing", ".sealed", "", "rename", ""]


class Truncating(LocalObjects):
    """Keeps half of the first file that it is given, and says so, as a service may that fails in the midst."""

    broken = ""

    def put_file(self, path: Path, *, move: bool = False, announce: Any = None, sha256: Any = None) -> Any:
        """Store half of the first one, and whatever comes then as it is."""
        if not self.broken:
            half = path.with_suffix(".half")
            half.write_bytes(path.read_bytes()[:-200])
            whole, stored = super().put_file(path), super().put_file(half, move=True)
            if announce is not None:
                announce(whole.sha256)
            os.replace(super().path_of(stored.sha256), super().path_of(whole.sha256))
            type(self).broken = whole.sha256
            raise BrokenObject(f"object {whole.sha256} has other bytes")
        return super().put_file(path, move=move, announce=announce, sha256=sha256)

    def path_of(self, sha256: str) -> Path:
        """Prove what is read, as one does with what comes over a network."""
        self.verify(sha256)
        return super().path_of(sha256)


@pytest.mark.parametrize("hold", [False, True])
def test_an_episode_of_which_the_service_kept_something_else_is_brought_there_again(house: Any, hold: bool) -> None:
    """The only whole copy is the recorder's own file; it was thrown away once."""

    class Service(Truncating):
        pass

    house.objects = Service(house.root / "objects")
    recorder = house.recorder()
    recorder.extend(np.arange(30) / 100, dict.fromkeys(recorder.header.signals, np.zeros((30, 3))))

    with pytest.raises(BrokenObject):
        recorder.seal(SUCCESS, hold=hold)
    (found,) = recover_spool(house.spool, house.objects)
    found.settled()

    assert found.sealed.sha256 == Service.broken
    assert found.outcome == SUCCESS
    assert len(read_episode(found.sealed.path, sha256=Service.broken).time_s) == 30
    assert not house.leftovers()
