"""Clean and score: pure, recorded checks of an episode's signals, and a search for duplicates."""

from store.quality.cameras import cameras_of
from store.quality.duplicates import Signature, near_duplicates, signature_of
from store.quality.finding import CameraTrack, Finding, StepRecord, Track, TrackStream, run_step, track_of
from store.quality.score import WEIGHTS, Quality, check_track
from store.quality.twin import TwinMeasure

__all__ = [
    "WEIGHTS",
    "CameraTrack",
    "Finding",
    "Quality",
    "Signature",
    "StepRecord",
    "Track",
    "TrackStream",
    "TwinMeasure",
    "cameras_of",
    "check_track",
    "near_duplicates",
    "run_step",
    "signature_of",
    "track_of",
]
