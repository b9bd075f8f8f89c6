"""Attack 7 on a real arm: motor currents of a UR3 at work, from what an export with the contact flag tells.

7,409 rows of six joints' currents and speeds at about 1 Hz, with the jitter of their own clock (UCI 963, CC BY 4.0).
The attacker is that of attack 7, and adapts further: it takes the flag as it is, smoothed, or with the sign that
friction or inertia would give it, whichever serves it best. The control is the same attacker with the same flags in an
order of chance: what motion alone tells of currents. Positions were not recorded; they are summed up from the speeds.
"""

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from sharing.projection.plan import CONTACT_FLAG
from sharing.projection.tables import JOINTS
from store.episode import ACTION, EFFORT, STATE, VELOCITY
from tests.sharing.projection.ground import KINEMATIC, Ground, grant

SHARED = Path(os.environ.get("PALAESTRA_SHARED", "../shared")) / "data" / "robodata" / "ur3_cobotops"
JOINTS_N, ROWS, TRAINED, CONTROLS = 6, 240, 16, 8
MARGIN = 0.05
CONTACT = {"contact-flag": {"threshold_percent": "150"}}
PERMITTED = {
    "contact": CONTACT,
    "thin contact on a coarse clock": CONTACT | {"subsample": {"keep_every": "2"}, "coarsen-time": {"step_ms": "250"}},
}


@dataclass(frozen=True)
class Run:
    """Four minutes of work: times [s], currents [A] and speeds [rad/s], (rows,) and (rows, joints)."""

    time_s: np.ndarray
    current_a: np.ndarray
    speed_rad_s: np.ndarray

    @property
    def position_rad(self) -> np.ndarray:
        """How far each joint has come since the first row."""
        steps = 0.5 * (self.speed_rad_s[1:] + self.speed_rad_s[:-1]) * np.diff(self.time_s)[:, None]
        summed: np.ndarray = np.concatenate([np.zeros((1, JOINTS_N)), np.cumsum(steps, axis=0)])
        return summed


@dataclass(frozen=True)
class Seen:
    """What the recipient has of one episode: terms of its dynamics, speeds, the flag; and which rows these are."""

    terms: np.ndarray
    speed_rad_s: np.ndarray
    flag: np.ndarray
    rows: np.ndarray


def runs() -> list[Run]:
    """Return the recording in pieces. Skips where it is not."""
    files = sorted(SHARED.glob("*.csv"))
    if not files:
        pytest.skip("no real recordings at robodata")
    with open(files[0], encoding="utf-8-sig", newline="") as file:
        head, *lines = csv.reader(file, delimiter=";")
    places = {name.strip(): place for place, name in enumerate(head)}
    wanted = [places[f"{kind}_J{joint}"] for kind in ("Current", "Speed") for joint in range(JOINTS_N)]
    found = []
    for line in lines:
        cells = [line[place].replace(",", ".") for place in wanted]
        if all(cells):
            when = datetime.fromisoformat(line[places["Timestamp"]].strip('"').replace("Z", "+00:00"))
            found.append([when.timestamp(), *map(float, cells)])
    table = np.array(found)
    pieces = [table[begin : begin + ROWS] for begin in range(0, len(table) - ROWS + 1, ROWS)]
    # Where the recording stood still for hours there is no motion to learn from.
    whole = [piece for piece in pieces if np.diff(piece[:, 0]).min() > 0 and np.diff(piece[:, 0]).max() < 60]
    return [Run(p[:, 0] - p[0, 0], p[:, 1 : 1 + JOINTS_N], p[:, 1 + JOINTS_N :]) for p in whole][: TRAINED + 8]


@pytest.fixture(scope="module")
def arm(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ground, list[Run]]:
    """The recordings, in a store."""
    found = runs()
    made = Ground(tmp_path_factory.mktemp("ground"))
    for number, run in enumerate(found):
        values = {STATE: run.position_rad, VELOCITY: run.speed_rad_s, EFFORT: run.current_a, ACTION: run.position_rad}
        signals = {name: value.astype(np.float32) for name, value in values.items()}
        made.record(number, rows=ROWS, joints=JOINTS_N, signals=signals, rate_hz=1.0, times_s=run.time_s)
    made.freeze(range(len(found)))
    return made, found


def exported(ground: Ground, found: Sequence[Run], transforms: dict[str, dict[str, str]]) -> list[Seen]:
    """Return what a recipient has of each episode."""
    made = ground.projector().project(grant(columns=KINEMATIC, transforms=transforms))
    flags = {file.name: file for file in made.tables[CONTACT_FLAG]}
    seen = []
    for run, file in zip(found, made.tables[JOINTS], strict=True):
        table = pq.read_table(io.BytesIO(file.path.read_bytes()))
        flag = pq.read_table(io.BytesIO(flags[file.name].path.read_bytes()))
        position, speed = (np.array(table[name].to_pylist()) for name in (STATE, VELOCITY))
        time_s = table["time_s"].to_numpy()
        rates = np.gradient(speed, time_s, axis=0)
        parts = [np.ones((len(time_s), 1)), np.sin(position), np.cos(position), position, speed, np.tanh(20 * speed)]
        # The marks do not hide which rows are whose: the attacker's truth is laid beside by speed alone.
        rows = np.array([np.argmin(np.abs(run.speed_rad_s - one).sum(1)) for one in speed])
        seen.append(Seen(np.hstack([*parts, rates]), speed, np.array(flag["value"].to_pylist())[:, 0], rows))
    return seen


def adapted(seen: Seen, flags: np.ndarray) -> np.ndarray:
    """Return the labels that the attacker makes of flags (rows, joints): shape (rows, kinds, joints)."""
    smooth = np.apply_along_axis(np.convolve, 0, flags, np.ones(5) / 5, "same")
    push = np.sign(np.gradient(seen.speed_rad_s, axis=0))
    return np.stack([flags, smooth, flags * np.sign(seen.speed_rad_s), flags * push], axis=1)


class Attacker:
    """Fits the dynamics to labels of the first episodes, and predicts the currents of the others."""

    def __init__(self, seen: Sequence[Seen], found: Sequence[Run]) -> None:
        self.seen, self.found = seen, found
        x = np.vstack([one.terms for one in seen[:TRAINED]])
        self.mean, self.scale = x.mean(0), x.std(0) + 1e-9
        x = (x - self.mean) / self.scale
        self.fit = np.linalg.solve(x.T @ x + 1e-2 * len(x) * np.eye(x.shape[1]), x.T)

    def success(self, flags: Sequence[np.ndarray]) -> float:
        """Return the mean correlation with the true currents, the sign for free, of the kind of label that is best.

        Args:
            flags: Of each episode, shape (rows, joints) or (rows, 1): one for all joints.
        """
        wide = [np.broadcast_to(one, (len(one), JOINTS_N)) for one in flags]
        made = [adapted(seen, flag) for seen, flag in zip(self.seen[:TRAINED], wide[:TRAINED], strict=True)]
        y = np.concatenate(made)
        weights = np.tensordot(self.fit, y - y.mean(axis=0), axes=1)
        reached = []
        for one, run in zip(self.seen[TRAINED:], self.found[TRAINED:], strict=True):
            guess = np.tensordot((one.terms - self.mean) / self.scale, weights, axes=1)
            guess = (guess - guess.mean(0)) / (guess.std(0) + 1e-12)
            true = run.current_a[one.rows]
            true = (true - true.mean(0)) / (true.std(0) + 1e-12)
            reached.append(np.abs((guess * true[:, None, :]).mean(0)))
        return float(np.mean(reached, axis=(0, 2)).max())

    def control(self) -> float:
        """Return what it reaches with the same flags in an order of chance, the mean of eight."""
        reached = []
        for seed in range(CONTROLS):
            chance = np.random.default_rng(seed)
            reached.append(self.success([chance.permutation(one.flag)[:, None] for one in self.seen]))
        return float(np.mean(reached))


@pytest.mark.parametrize("name", PERMITTED)
def test_what_is_exported_of_a_real_arm_tells_no_more_of_its_currents_than_chance_does(
    arm: tuple[Ground, list[Run]], name: str
) -> None:
    """At most 0.05 better; and the mutant, the currents themselves as labels under noise of 3 sd, is far better."""
    ground, found = arm
    attacker = Attacker(exported(ground, found, PERMITTED[name]), found)
    chance = attacker.control()

    assert attacker.success([one.flag[:, None] for one in attacker.seen]) <= chance + MARGIN

    noise = np.random.default_rng(0)
    leaked = [run.current_a[one.rows] for one, run in zip(attacker.seen, found, strict=True)]
    noisy = [one + noise.normal(size=one.shape) * 3 * one.std(0) for one in leaked]
    assert attacker.success(noisy) > chance + 2 * MARGIN
