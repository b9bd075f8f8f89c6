"""Precision and recall of the store's checks on faults planted in clean episodes, and of near duplicates.

Episodes are generated: an arm of six joints goes through random points by minimum-jerk paths, follows its action 60 ms
later, and its sensors have noise. Each kind of fault is planted in episodes of its own. A finding of a kind counts as
wrong in an episode where neither that kind nor one that it follows from was planted (`FOLLOWS`). Copies are perturbed
(noise, another rate, cut ends, quantised, an offset); beside them stand episodes that share up to three quarters
of their way. Exact copies are the same rows under another name. For what physics finds (`residual`) an emulated arm
moves by the real control core, and its motors are too weak, its targets are another time's, or a joint's sign is wrong.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from controller import Cohort
from runner.replay.measure import measure
from sim.body import body_of
from sim.catalog import find
from sim.motion import find_motion
from sim.unit import EmulatedUnit
from store import Episode, EpisodeHeader, Outcome, Status, joint_frames
from store.episode import ACTION, EFFORT, SENSOR_PREFIX, STATE, VELOCITY
from store.quality import Track, TrackStream, TwinMeasure, check_track, near_duplicates, signature_of, track_of
from store.quality.motion import MotionLimits

RATE_HZ, JOINTS, DURATION_S = 100.0, 6, 20.0
SENSOR, FORCE = SENSOR_PREFIX + "wrench", "force"
LIMITS = MotionLimits(lower_rad=(-2.5,) * JOINTS, upper_rad=(2.5,) * JOINTS)
FOLLOWS = {"frozen": {"jump"}, "limit": {"jump"}, "speed": {"jerk"}, "rate": {"mismatch"}}
"""Kinds that a planted one brings with it: a frozen encoder jumps when it thaws; on a wrong clock slopes are wrong."""


def clean_track(seed: int, points: np.ndarray | None = None, *, duration_s: float = DURATION_S) -> Track:
    """Return a track without a fault: (rows, 6) positions, velocities and actions, and a wrench."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    points = rng.uniform(-2.0, 2.0, (9, JOINTS)) if points is None else points
    place = time_s / duration_s * (len(points) - 1)
    leg = np.minimum(place.astype(int), len(points) - 2)
    u = (place - leg)[:, None]
    blend = 10 * u**3 - 15 * u**4 + 6 * u**5  # minimum jerk: Flash and Hogan, J. Neurosci. 5 (1985)
    action = points[leg] + blend * (points[leg + 1] - points[leg])
    late = np.stack([np.interp(time_s - 0.06, time_s, action[:, j]) for j in range(JOINTS)], axis=1)
    speed = np.gradient(late, 1 / RATE_HZ, axis=0)
    noise = rng.standard_normal((3, len(time_s), JOINTS))
    signals = {STATE: late + 2e-4 * noise[0], VELOCITY: speed + 5e-3 * noise[1], ACTION: action}
    signals[SENSOR] = 5 * np.sin(late) + 0.1 * noise[2]
    return Track(time_s, RATE_HZ, {name: values.astype(np.float32) for name, values in signals.items()})


def streamed(track: Track, *, shift_s: float = 0.0, cut_s: float = 0.0) -> Track:
    """Return the track with a force at 40 Hz that follows its joints, late by `shift_s`, whose begin is missing."""
    times = np.arange(0.0, track.time_s[-1] - 0.1, 1 / 40.0)
    times = times[times >= cut_s]
    rng = np.random.default_rng(len(times))
    path = np.stack([np.interp(times - shift_s, track.time_s, column) for column in track.signals[STATE].T[:3]], axis=1)
    values = 5 * np.sin(path) + 0.05 * rng.standard_normal(path.shape)
    return replace(track, streams={FORCE: TrackStream(times, values.astype(np.float32), 40.0)})


def planted(kind: str, seed: int) -> Track:
    """Return a track with one fault of a kind, at a random place and of a random size."""
    rng = np.random.default_rng([seed, sum(map(ord, kind))])
    track = clean_track(seed)
    time_s, signals = track.time_s.copy(), {name: values.copy() for name, values in track.signals.items()}
    rows, column = len(time_s), int(rng.integers(JOINTS))
    start = int(rng.integers(100, rows - 300))
    moving = np.abs(track.signals[VELOCITY][100:-300, column])
    busy = 100 + int(rng.choice(np.flatnonzero(moving > max(0.3, np.quantile(moving, 0.5)))))
    if kind == "gap":
        keep = np.r_[0:start, start + int(rng.integers(3, 50)) : rows]
        time_s, signals = time_s[keep], {name: values[keep] for name, values in signals.items()}
    elif kind == "backwards":
        time_s[start:] -= rng.uniform(1.2, 20) / RATE_HZ
    elif kind == "jitter":
        time_s = time_s + rng.uniform(-1, 1, rows) * rng.uniform(0.2, 0.45) / RATE_HZ
    elif kind == "rate":
        time_s = time_s * rng.choice([0.5, 0.9, 1.1, 2.0])
    elif kind == "not_finite":
        signals[STATE][start : start + int(rng.integers(1, 20)), column] = rng.choice([np.nan, np.inf])
    elif kind == "frozen":
        name = str(rng.choice([STATE, VELOCITY, SENSOR]))
        columns = slice(None) if name == SENSOR else column
        signals[name][busy : busy + int(rng.integers(40, 120)), columns] = signals[name][busy, columns]
    elif kind == "jump":
        signals[STATE][start : start + int(rng.integers(1, 50)), column] += rng.choice([-1, 1]) * rng.uniform(0.1, 0.5)
    elif kind == "limit":
        signals[STATE][start : start + 40, column] = 2.5 + rng.uniform(0.05, 0.5) + 2e-4 * rng.standard_normal(40)
    elif kind == "speed":
        signals[VELOCITY][start : start + 5, column] = rng.choice([-1, 1]) * rng.uniform(35, 80)
    elif kind == "mismatch":
        signals[VELOCITY][:, column] *= rng.choice([-1, 57.2958 / 10, 0.3])
    elif kind == "idle":
        held, hold = round(RATE_HZ * rng.uniform(2.5, 8)), busy
        signals = {name: _held(values, hold, held) for name, values in signals.items()}
        signals[VELOCITY][hold : hold + held] = 5e-3 * rng.standard_normal((held, JOINTS))
        signals[STATE][hold : hold + held] += (2e-4 * rng.standard_normal((held, JOINTS))).astype(np.float32)
        signals[SENSOR][hold : hold + held] += (0.1 * rng.standard_normal((held, JOINTS))).astype(np.float32)
        time_s = np.arange(rows + held) / RATE_HZ
    elif kind == "jerk":
        hz, size = rng.uniform(11, 18), rng.uniform(0.02, 0.04)
        signals[STATE][:, column] += size * np.sin(6.2832 * hz * time_s)
        signals[VELOCITY][:, column] += size * 6.2832 * hz * np.cos(6.2832 * hz * time_s)
    elif kind == "misaligned":
        if rng.random() < 0.5:
            return streamed(track, shift_s=float(rng.choice([-1, 1]) * rng.uniform(0.15, 0.8)))
        return streamed(track, cut_s=float(rng.uniform(0.7, 5.0)))
    elif kind == "lag":
        shift = int(rng.choice([-1, 1]) * rng.integers(30, 80))
        signals[ACTION] = np.roll(signals[ACTION], shift, axis=0)
    else:
        raise ValueError(f"no fault {kind!r}")
    return Track(time_s, RATE_HZ, signals)


def _held(values: np.ndarray, row: int, rows: int) -> np.ndarray:
    return np.concatenate((values[:row], np.repeat(values[row : row + 1], rows, axis=0), values[row:]))


KINDS = (
    *("gap", "backwards", "jitter", "rate", "not_finite", "frozen", "jump"),
    *("limit", "speed", "mismatch", "idle", "jerk", "lag", "misaligned"),
)


def faults(episodes: int, seed: int = 0) -> dict[str, dict[str, float]]:
    """Return precision and recall per kind, over so many episodes of each kind and as many clean ones."""
    right: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for number in range(episodes):
        for kind in (None, *KINDS):
            track = planted(kind, seed + number) if kind else streamed(clean_track(seed + number))
            seen = {finding.kind for finding in check_track(track, motion=LIMITS).findings}
            right.update(seen & {kind})
            wrong.update(seen - {kind} - FOLLOWS.get(kind or "", set()))
    return {
        kind: {
            "recall": right[kind] / episodes,
            "precision": right[kind] / max(1, right[kind] + wrong[kind]),
        }
        for kind in KINDS
    }


PERTURBATIONS: dict[str, Callable[[Track, np.random.Generator], Track]] = {
    "noise": lambda t, rng: _changed(t, lambda v: v + 0.01 * rng.standard_normal(v.shape)),
    "rate": lambda t, rng: _rows(t, np.arange(0, len(t.time_s), int(rng.integers(2, 6)))),
    "cut": lambda t, rng: _rows(t, np.arange(int(rng.integers(1, 15)), len(t.time_s) - int(rng.integers(1, 15)))),
    "quantised": lambda t, _: _changed(t, lambda v: np.round(v / 0.02) * 0.02),
    "offset": lambda t, rng: _changed(t, lambda v: v + rng.uniform(-0.05, 0.05, v.shape[1])),
    "slower": lambda t, rng: replace(t, time_s=t.time_s * rng.uniform(0.8, 1.25)),
}


def _changed(track: Track, change: Callable[[np.ndarray], Any]) -> Track:
    return replace(track, signals={name: change(values).astype(np.float32) for name, values in track.signals.items()})


def _rows(track: Track, rows: np.ndarray) -> Track:
    return Track(track.time_s[rows], track.rate_hz, {name: values[rows] for name, values in track.signals.items()})


def duplicates(episodes: int, seed: int = 0) -> dict[str, float]:
    """Return precision and recall of near duplicates: a copy for every episode, and one that shares some of its way."""
    rng = np.random.default_rng(seed)
    names = list(PERTURBATIONS)
    originals, copies, cousins = [], [], []
    for number in range(episodes):
        points = rng.uniform(-2.0, 2.0, (9, JOINTS))
        original = clean_track(number, points, duration_s=5.0)
        originals.append(original)
        copies.append(PERTURBATIONS[names[number % len(names)]](original, rng))
        own = int(rng.integers(2, 6))
        other = np.concatenate((points[:-own], rng.uniform(-2.0, 2.0, (own, JOINTS))))
        cousins.append(clean_track(episodes + number, other, duration_s=5.0))
    found = near_duplicates([signature_of(track) for track in (*originals, *copies, *cousins)])
    right = sum(two == one + episodes and one < episodes for one, two, _ in found)
    return {"recall": right / episodes, "precision": right / max(1, len(found))}


def exact_duplicates(episodes: int, seed: int = 0) -> dict[str, float]:
    """Return precision and recall of exact copies by `Track.sha256`, beside what differs by one bit of a row."""
    originals = [clean_track(seed + number, duration_s=2.0) for number in range(episodes)]
    copies = [replace(track, signals=dict(reversed(list(track.signals.items())))) for track in originals]
    others = []
    for track in originals:
        state = track.signals[STATE].copy()
        state[-1, 0] = np.nextafter(state[-1, 0], np.float32(9))
        others.append(replace(track, signals={**track.signals, STATE: state}))
    names: dict[str, list[int]] = {}
    for number, track in enumerate((*originals, *copies, *others)):
        names.setdefault(track.sha256(), []).append(number)
    pairs = [(group[0], one) for group in names.values() for one in group[1:]]
    right = sum(two == one + episodes for one, two in pairs)
    return {"recall": right / episodes, "precision": right / max(1, len(pairs))}


def header_of(seed: int, joint_names: tuple[str, ...], **more: Any) -> EpisodeHeader:
    """Return the header of an episode of an emulated arm."""
    return EpisodeHeader(
        name=f"vendors/bench/episodes/e-{seed}",
        vendor="vendors/bench",
        job="vendors/bench/jobs/j",
        attempt=1,
        unit="venues/bench/units/arm",
        robot_model="own_arm",
        maker="Palaestra",
        joint_names=joint_names,
        task="reach around",
        seed=seed,
        control_rate_hz=500.0,
        sample_rate_hz=RATE_HZ,
        clock_source="simulation",
        engine="mujoco",
        engine_version="1",
        architecture="any",
        model_sha256="0" * 64,
        controller_version="1",
        controller_backend="numpy",
        started_at_ns=1,
        frames=joint_frames(),
        calibration="model",
        **more,
    )


TWIN_FAULTS = ("weak motors", "targets of another time", "a joint's sign")


def arm_episode(seed: int, *, fault: str = "") -> Episode:
    """Return two seconds of an emulated arm under the control core, with 1 mrad of encoder noise, or one of a fault."""
    entry = find("own_arm")
    rng = np.random.default_rng(seed)
    unit = EmulatedUnit(entry, f"unit-{seed}", period_s=0.002, encoder_noise_rad=1e-3)
    core = Cohort(unit.spec, 1, 0.002, dtype=np.float64)
    motion, joints = find_motion("reach_around").fit(entry), len(unit.spec.joints)
    before, torque = 10 * int(rng.integers(50)), float(rng.uniform(0.3, 0.6)) if fault == "weak motors" else 1.0
    q, dq = np.zeros(joints), np.zeros(joints)
    unit.read(q, dq)
    core.renew(np.array([0]), q[:, None], dq[:, None])
    core.q_ref[:, 0] = body_of(unit.model, unit.spec).home_q
    rows: dict[str, list[np.ndarray]] = {STATE: [], VELOCITY: [], EFFORT: [], ACTION: []}
    # What comes before its begin is not recorded.
    for tick in range(-before, 1000):
        if tick % 10 == 0:
            core.q_ref[:, 0] = motion.targets((tick + before) * 0.002)
            core.submit()
        unit.read(q, dq)
        core.q[:, 0], core.dq[:, 0] = q, dq
        core.step()
        unit.write(torque * core.tau[:, 0])
        if tick >= 0 and tick % 5 == 4:
            unit.read(q, dq)
            for name, value in ((STATE, q), (VELOCITY, dq), (EFFORT, core.tau[:, 0]), (ACTION, core.q_ref[:, 0])):
                rows[name].append(value.astype(np.float32).copy())
    signals = {name: np.array(values) for name, values in rows.items()}
    if fault == "targets of another time":
        signals[ACTION] = np.roll(signals[ACTION], int(rng.integers(20, 60)), axis=0)
    elif fault == "a joint's sign":
        joint = int(np.ptp(signals[STATE], axis=0).argmax())
        for name in (STATE, VELOCITY):
            signals[name][:, joint] *= -1
    drives_sha256 = unit.identity().provenance["drives_sha256"]
    header = header_of(seed, unit.spec.joint_names, actuators="physical", drives_sha256=drives_sha256)
    return Episode(header, Outcome(Status.SUCCESS), 0.01 * np.arange(200), signals)


def twin_faults(episodes: int, seed: int = 0) -> dict[str, float]:
    """Return precision and recall of `residual` over so many episodes of each fault, and as many sound ones."""
    right = wrong = 0
    for number in range(episodes):
        for fault in ("", *TWIN_FAULTS):
            episode = arm_episode(seed + number, fault=fault)
            told = measure(episode)
            twin = TwinMeasure(told["engine"], tuple(told["rms_rad"]))
            seen = {finding.kind for finding in check_track(track_of(episode), twin=twin).findings}
            if "residual" in seen:
                right, wrong = right + bool(fault), wrong + (not fault)
    return {"recall": right / (episodes * len(TWIN_FAULTS)), "precision": right / max(1, right + wrong)}


def run() -> dict[str, Any]:
    """Plant, check and count."""
    kinds = {**faults(25, seed=1_000), "residual": twin_faults(6, seed=1_000)}
    return {
        "faults": kinds,
        "least_recall": min(figures["recall"] for figures in kinds.values()),
        "least_precision": min(figures["precision"] for figures in kinds.values()),
        "exact_duplicates": exact_duplicates(200),
        "near_duplicates": duplicates(600),
        "bar_near_duplicates": {"recall": 0.95, "precision": 0.99},
    }
