"""After a death: what was open is sealed as far as it had been flushed, what was sealed is told once more.

A recorder that died left its segment in the spool, or the receipt of what it had sealed. Nothing of either may be in
the catalogue, so each is handed out until somebody says that it is there.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from store.episode import SCHEMA_VERSION, EpisodeHeader, Outcome, Status
from store.errors import BrokenEpisode, BrokenObject, InvalidDigest, InvalidEpisode, ObjectNotFound, StoreFull
from store.layout import HEADER_KEY, OUTCOME_KEY, schema_of, tracks_of
from store.objects import ObjectStore, room_for
from store.parquet import write_sealed
from store.reader import read_camera, read_episode, read_summary
from store.recorder import SealedEpisode, together
from store.segment import read_segment
from store.spool import Claim, abandoned, clean_strays

log = logging.getLogger(__name__)
CAUSE = "the recording process died"


@dataclass(frozen=True)
class Recovered:
    """An episode of a dead process, sealed. `settled` forgets it in the spool; until then it is found again."""

    header: EpisodeHeader
    outcome: Outcome
    sealed: SealedEpisode
    _claim: Claim = field(repr=False, compare=False)

    def settled(self) -> None:
        """Say that it is in the catalogue, or that nobody wants it there."""
        self._claim.release()

    def left(self) -> None:
        """Say that it could not be told now; the next recovery finds it again."""
        self._claim.leave()


def recover_spool(spool: Path, objects: ObjectStore) -> Iterator[Recovered]:
    """Yield the episodes of dead processes in `spool`, sealed; remove what holds nothing that could be kept.

    Safe at any time and from several processes: what a living recorder holds is left alone. A death in the midst
    changes nothing. Raises StoreFull; what is in the spool stays there.
    """
    clean_strays(spool)
    for claim in abandoned(spool):
        try:
            found = _told(claim, objects) or _finished(claim, objects) or _salvaged(claim, objects)
        except (InvalidEpisode, BrokenEpisode) as error:
            log.error("a dead recorder's %s cannot be kept: %s", claim.path.name, error)
            found = None
        except StoreFull:
            claim.leave()
            raise
        except Exception as error:
            # Whatever is wrong with this one, the others are not to wait for it.
            what = "a dead recorder's %s cannot be sealed now, and stays: %s"
            log.error(what, claim.path.name, error, exc_info=not isinstance(error, OSError))
            claim.leave()
            continue
        except BaseException:
            claim.leave()
            raise
        if found is None:
            claim.release()
            continue
        yield Recovered(*found, claim)


def _told(claim: Claim, objects: ObjectStore) -> tuple[EpisodeHeader, Outcome, SealedEpisode] | None:
    """Return what a receipt is about; None without one, or if what it names cannot be read."""
    try:
        sha256 = claim.receipt.read_text()
        summary = read_summary(objects.path_of(sha256))
    except FileNotFoundError:
        return None
    except ObjectNotFound:
        # It was about to get its name.
        return None
    except BrokenObject:
        if not claim.extra.exists():
            raise
        # The file itself is here still, and heals what has its name.
        return None
    except (InvalidDigest, BrokenEpisode, UnicodeDecodeError) as error:
        log.error("the receipt %s is of nothing that can be read: %s", claim.receipt.name, error)
        return None
    sealed = SealedEpisode(sha256, summary.size_bytes, summary.rows, summary.duration_s, objects.where(sha256))
    return summary.header, summary.outcome, sealed


def _finished(claim: Claim, objects: ObjectStore) -> tuple[EpisodeHeader, Outcome, SealedEpisode] | None:
    """Give its name to a file that was written to its end and had none yet; None if it is not whole."""
    try:
        episode = read_episode(claim.extra)
        for camera in episode.header.cameras:
            read_camera(claim.extra, camera)
        summary = read_summary(claim.extra)
    except (FileNotFoundError, BrokenEpisode):
        return None
    with room_for(f"episode {summary.header.name}"):
        stored = objects.of(summary.header.vendor).put_file(claim.extra, move=True, announce=claim.leave_receipt)
    path = objects.where(stored.sha256)
    sealed = SealedEpisode(stored.sha256, stored.size_bytes, summary.rows, summary.duration_s, path)
    return summary.header, summary.outcome, sealed


def _salvaged(claim: Claim, objects: ObjectStore) -> tuple[EpisodeHeader, Outcome, SealedEpisode] | None:
    """Seal what a segment holds; None if it holds no row of the joints."""
    text, batches = read_segment(claim.path)
    if text is None:
        return None
    header = EpisodeHeader.from_json(text)
    if header.schema_version != SCHEMA_VERSION:
        return None
    whole = sound(header, batches)
    table = together(header, whole)
    times = [_times(whole, track[0]) for track in tracks_of(header)]
    rows = len(times[0])
    if not rows:
        return None
    duration_s = float(max(time_s[-1] for time_s in times if len(time_s)) - times[0][0])
    outcome = Outcome(Status.INTERRUPTED, f"{CAUSE}; {rows} rows were kept")
    with room_for(f"episode {header.name}"):
        metadata = {HEADER_KEY: header.to_json(), OUTCOME_KEY: outcome.to_json()}
        sha256 = write_sealed(table.replace_schema_metadata(metadata), claim.extra)
        mine = objects.of(header.vendor)
        stored = mine.put_file(claim.extra, move=True, announce=claim.leave_receipt, sha256=sha256)
    sealed = SealedEpisode(stored.sha256, stored.size_bytes, rows, duration_s, objects.where(stored.sha256))
    return header, outcome, sealed


def sound(header: EpisodeHeader, batches: Iterator[Any]) -> list[Any]:
    """Return the batches up to the first that is not as the recorder writes it.

    After a power cut a file may have its length and not its bytes: such rows are zeros, whose clock does not run.
    """
    schema, last_s = schema_of(header), {track[0]: -np.inf for track in tracks_of(header)}
    whole = []
    for batch in batches:
        if not batch.schema.remove_metadata().equals(schema):
            break
        times = {name: _times([batch], name) for name in last_s}
        joints = next(iter(times))
        if not all(_follows(time_s, last_s[name], strictly=name == joints) for name, time_s in times.items()):
            break
        whole.append(batch)
        last_s |= {name: float(time_s[-1]) for name, time_s in times.items() if len(time_s)}
    return whole


def _times(batches: Sequence[Any], name: str) -> np.ndarray:
    columns = [batch.column(batch.schema.get_field_index(name)).drop_null() for batch in batches]
    return np.concatenate([column.to_numpy(zero_copy_only=False) for column in columns] or [np.empty(0)])


def _follows(time_s: np.ndarray, after_s: float, *, strictly: bool) -> bool:
    steps = np.diff(time_s, prepend=after_s)
    return bool(np.isfinite(time_s).all() and ((steps > 0) if strictly else (steps >= 0)).all())
