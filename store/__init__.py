"""The store: records episodes, keeps their bytes, reads them back and exports them.

    objects = LocalObjects(root / "objects")
    with EpisodeRecorder(header, root / "spool", objects) as recorder:
        recorder.append(time_s, q, dq, tau, q_ref)
        sealed = recorder.seal(Outcome(Status.SUCCESS, episode_return=1.0))
    episode = read_episode(objects.path_of(sealed.sha256), sha256=sealed.sha256)

The catalogue of episodes is the scheduler's: what `seal` returns goes there, in the transaction of the job's
event.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from store.episode import (
        ACTION,
        BASE_POSE,
        EFFORT,
        STATE,
        TIME,
        VELOCITY,
        EpisodeHeader,
        Outcome,
        Status,
        joint_frames,
        joint_units,
    )
    from store.errors import (
        BrokenCache,
        BrokenEpisode,
        BrokenObject,
        EpisodeClosed,
        EpisodeNotFound,
        ExportRefused,
        InvalidDigest,
        InvalidEpisode,
        ObjectNotFound,
        StoreError,
        StoreFull,
        StoreUnreachable,
        WindowsRefused,
    )
    from store.objects import Cached, LocalObjects, ObjectStore, StoredObject, open_objects
    from store.reader import Episode, EpisodeSummary, read_episode, read_summary
    from store.recorder import EpisodeRecorder, SealedEpisode
    from store.recovery import Recovered, recover_spool
    from store.spool import clean_spool
    from store.stream import Stream

__all__ = [
    "ACTION",
    "BASE_POSE",
    "EFFORT",
    "STATE",
    "TIME",
    "VELOCITY",
    "BrokenCache",
    "BrokenEpisode",
    "BrokenObject",
    "Cached",
    "Episode",
    "EpisodeClosed",
    "EpisodeHeader",
    "EpisodeNotFound",
    "EpisodeRecorder",
    "EpisodeSummary",
    "ExportRefused",
    "InvalidDigest",
    "InvalidEpisode",
    "LocalObjects",
    "ObjectNotFound",
    "ObjectStore",
    "Outcome",
    "Recovered",
    "SealedEpisode",
    "Status",
    "StoreError",
    "StoreFull",
    "StoreUnreachable",
    "StoredObject",
    "Stream",
    "WindowsRefused",
    "clean_spool",
    "joint_frames",
    "joint_units",
    "open_objects",
    "read_episode",
    "read_summary",
    "recover_spool",
]

# A name is imported when it is first asked for: who only decides on access must not wait for pyarrow.
_HOME = {
    "ACTION": "store.episode",
    "BASE_POSE": "store.episode",
    "EFFORT": "store.episode",
    "STATE": "store.episode",
    "TIME": "store.episode",
    "VELOCITY": "store.episode",
    "EpisodeHeader": "store.episode",
    "Outcome": "store.episode",
    "Status": "store.episode",
    "joint_frames": "store.episode",
    "joint_units": "store.episode",
    "BrokenCache": "store.errors",
    "BrokenEpisode": "store.errors",
    "BrokenObject": "store.errors",
    "EpisodeClosed": "store.errors",
    "EpisodeNotFound": "store.errors",
    "ExportRefused": "store.errors",
    "InvalidDigest": "store.errors",
    "InvalidEpisode": "store.errors",
    "ObjectNotFound": "store.errors",
    "StoreError": "store.errors",
    "StoreFull": "store.errors",
    "StoreUnreachable": "store.errors",
    "WindowsRefused": "store.errors",
    "Cached": "store.objects",
    "LocalObjects": "store.objects",
    "open_objects": "store.objects",
    "ObjectStore": "store.objects",
    "StoredObject": "store.objects",
    "Episode": "store.reader",
    "EpisodeSummary": "store.reader",
    "read_episode": "store.reader",
    "read_summary": "store.reader",
    "EpisodeRecorder": "store.recorder",
    "SealedEpisode": "store.recorder",
    "Recovered": "store.recovery",
    "recover_spool": "store.recovery",
    "Stream": "store.stream",
    "clean_spool": "store.spool",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
