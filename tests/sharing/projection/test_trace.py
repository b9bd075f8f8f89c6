"""The recipient whose copy got out is named, and nobody else, whatever was done to the copy."""

import hashlib

import numpy as np
import pytest

from sharing.projection import marks
from sharing.projection.trace import FOUND_Z, Leak, Recording, Score, add, suspects
from store.episode import ACTION, STATE, VELOCITY

RECIPIENTS = [hashlib.sha256(bytes([number])).hexdigest() for number in range(50)]
KEYS = [hashlib.sha256(f"key {number}".encode()).digest() for number in range(50)]
RATE_HZ, ROWS, JOINTS = 100, 1_000, 12
INNOCENT_Z = 4.5


def recording(seed: int) -> Recording:
    """Return 10 s of smooth motion of twelve joints."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(ROWS) / RATE_HZ
    turns = rng.uniform(0.2, 1.5, (3, JOINTS))
    phases = rng.uniform(0, 6.28, (3, JOINTS))
    q = sum(np.sin(6.2832 * turns[i] * time_s[:, None] + phases[i]) / (i + 1) for i in range(3))
    dq = np.gradient(q, axis=0) * RATE_HZ
    signals = {
        STATE: q.astype(np.float32),
        VELOCITY: dq.astype(np.float32),
        ACTION: np.roll(q, -3, 0).astype(np.float32),
    }
    return Recording(hashlib.sha256(f"{seed}".encode()).hexdigest(), time_s, signals)


RECORDINGS = [recording(seed) for seed in range(4)]


def copy_of(number: int, source: Recording) -> dict[str, np.ndarray]:
    """Return what recipient `number` got."""
    return {
        column: marks.marked(values, marks.pattern(KEYS[number], source.sha256, column, *values.shape))
        for column, values in source.signals.items()
    }


def trace(signals: dict[str, np.ndarray]) -> tuple[list[str], float, float]:
    """Return (who is named, their smallest z, the largest of the others)."""
    score = Score.of(len(KEYS))
    assert add(score, Leak(signals), RECORDINGS, KEYS) == RECORDINGS[2].sha256
    found = suspects(score, RECIPIENTS)
    named = [one.agreement for one in found if one.found]
    return named, min((one.z for one in found if one.found), default=0.0), max(one.z for one in found if not one.found)


NOISE = 10 * marks.AMPLITUDE


@pytest.mark.parametrize("what", ["plain", "noise", "thinned", "cut", "only action"])
def test_the_recipient_is_named_and_the_innocent_are_not(what: str) -> None:
    """One of fifty, by 10 s of data; under noise of ten times the mark as well."""
    rng = np.random.default_rng(7)
    leaked = copy_of(17, RECORDINGS[2])
    if what == "noise":
        leaked = {column: values + rng.normal(0, NOISE, values.shape) for column, values in leaked.items()}
    elif what == "thinned":
        leaked = {column: values[3::5] for column, values in leaked.items()}
    elif what == "cut":
        leaked = {column: values[210:650] + np.float32(5e-4) for column, values in leaked.items()}
    elif what == "only action":
        leaked = {ACTION: leaked[ACTION]}

    named, weakest, innocent = trace(leaked)

    assert named == [RECIPIENTS[17]]
    assert weakest >= FOUND_Z
    assert innocent < INNOCENT_Z


def test_two_who_mix_their_copies_are_both_named() -> None:
    """The mean of both, with noise."""
    one, other = copy_of(4, RECORDINGS[2]), copy_of(40, RECORDINGS[2])
    rng = np.random.default_rng(8)
    mixed = {column: (one[column] + other[column]) / 2 + rng.normal(0, 3e-4, one[column].shape) for column in one}

    named, _, innocent = trace(mixed)

    assert set(named) == {RECIPIENTS[4], RECIPIENTS[40]}
    assert innocent < INNOCENT_Z


def test_without_marks_nobody_is_named() -> None:
    """The guard removed: the test above can fail."""
    named, _, innocent = trace(dict(RECORDINGS[2].signals))

    assert not named
    assert innocent < INNOCENT_Z


def test_what_was_never_ours_accuses_nobody() -> None:
    """Other motion, and other bodies."""
    rng = np.random.default_rng(9)
    score = Score.of(len(KEYS))

    assert add(score, Leak({STATE: 5 + rng.normal(0, 1, (500, JOINTS))}), RECORDINGS, KEYS) is None
    assert add(score, Leak({STATE: np.zeros((500, 3))}), RECORDINGS, KEYS) is None
    assert not [one for one in suspects(score, RECIPIENTS) if one.found]
