"""Attack 7: a recipient fits the arm's dynamics to what it got, and predicts torque from motion.

The attacker is adaptive: for each joint it takes whatever the export offers as a label, fits it by ridge regression
over the terms of rigid-body dynamics, and is granted a gain and a sign for each held-out episode. Its success is the
mean correlation with the true torque. The control is the same attacker with labels of noise: what it reaches without
any knowledge, for torque is a smooth function of motion. The arm is generated: inertia, gravity, friction of 4 joints.
An export without the flag offers no label at all (attack 4 shows that), so that noise is the most it can be fitted to.
"""

import io
from collections.abc import Callable

import numpy as np
import pyarrow.parquet as pq
import pytest

from sharing.projection.plan import CONTACT_FLAG
from sharing.projection.tables import JOINTS
from store.episode import ACTION, EFFORT, STATE, VELOCITY
from tests.sharing.projection.ground import KINEMATIC, Ground, grant

JOINTS_N, ROWS, RATE_HZ, EPISODES = 4, 400, 100.0, 14
TRAINED = 9
MARGIN = 0.05
PERMITTED = {
    "contact": {"contact-flag": {"threshold_percent": "150"}},
    "thin contact": {"contact-flag": {"threshold_percent": "150"}, "subsample": {"keep_every": "4"}},
}
Motion = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def motion(seed: int) -> Motion:
    """Return (q, dq, torque, acceleration) of one episode, (rows, joints) each."""
    rng = np.random.default_rng(seed)
    t = np.arange(ROWS)[:, None] / RATE_HZ
    rates, phases, sizes = (rng.uniform(*bounds, (3, JOINTS_N)) for bounds in ((0.3, 1.2), (0, 6.3), (0.1, 0.5)))
    turns = 6.2832 * rates
    q = sum(sizes[i] * np.sin(turns[i] * t + phases[i]) for i in range(3))
    dq = sum(sizes[i] * turns[i] * np.cos(turns[i] * t + phases[i]) for i in range(3))
    ddq = -sum(sizes[i] * turns[i] ** 2 * np.sin(turns[i] * t + phases[i]) for i in range(3))
    inertia, gravity, dry = (
        np.array([2.0, 1.5, 0.6, 0.2]),
        np.array([0.0, 18.0, 7.0, 1.0]),
        np.array([3.0, 3.0, 1.0, 0.5]),
    )
    torque = inertia * ddq + gravity * np.sin(q) + dry * np.tanh(20 * dq) + 0.5 * dq
    return q, dq, torque + rng.normal(0, 0.1, torque.shape), ddq


MOTIONS = [motion(seed) for seed in range(EPISODES)]


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    """The recordings."""
    made = Ground(tmp_path_factory.mktemp("ground"))
    for number, (q, dq, torque, _) in enumerate(MOTIONS):
        values = {STATE: q, VELOCITY: dq, EFFORT: torque, ACTION: q}
        signals = {name: value.astype(np.float32) for name, value in values.items()}
        made.record(number, rows=ROWS, joints=JOINTS_N, signals=signals, rate_hz=RATE_HZ)
    made.freeze(range(EPISODES))
    return made


def exported(
    ground: Ground, transforms: dict[str, dict[str, str]]
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
    """Return for each episode what the recipient has: times, motion (rows, 2 joints), and what may serve as label."""
    projector = ground.projector()
    made = projector.project(grant(columns=KINEMATIC, transforms=transforms))
    assert not [name for name in made.tables if "effort" in name]
    flags = {file.name: file for file in made.tables.get(CONTACT_FLAG, ())}
    found = []
    for file in made.tables[JOINTS]:
        table = pq.read_table(io.BytesIO(file.path.read_bytes()))
        seen = np.hstack([np.array(table[name].to_pylist()) for name in (STATE, VELOCITY)])
        label = None
        if file.name in flags:
            label = np.array(pq.read_table(io.BytesIO(flags[file.name].path.read_bytes()))["value"].to_pylist())
        found.append((table["time_s"].to_numpy(), seen, label))
    return found


def terms(time_s: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return the regressors of rigid-body dynamics of what was seen: (rows, 6 for each joint, and 1)."""
    q, dq = seen[:, :JOINTS_N], seen[:, JOINTS_N:]
    ddq = np.gradient(dq, time_s, axis=0)
    return np.hstack([np.ones((len(q), 1)), np.sin(q), np.cos(q), q, dq, np.tanh(20 * dq), ddq])


Label = Callable[[int, int], np.ndarray]


def success(regressors: list[np.ndarray], rows: list[np.ndarray], label: Label) -> float:
    """Return the attacker's mean correlation with the true torque of held-out episodes, the sign for free."""
    reached = []
    x = np.vstack(regressors[:TRAINED])
    mean, scale = x.mean(0), x.std(0) + 1e-9
    x = (x - mean) / scale
    fit = np.linalg.solve(x.T @ x + 1e-2 * len(x) * np.eye(x.shape[1]), x.T)
    for joint in range(JOINTS_N):
        y = np.concatenate([label(number, joint) for number in range(TRAINED)])
        weights = fit @ (y - y.mean())
        for number in range(TRAINED, EPISODES):
            guess = (regressors[number] - mean) / scale @ weights
            true = MOTIONS[number][2][rows[number], joint]
            reached.append(abs(np.corrcoef(guess, true)[0, 1]) if guess.std() > 1e-12 else 0.0)
    return float(np.mean(reached))


def control(regressors: list[np.ndarray], rows: list[np.ndarray]) -> float:
    """Return what the attacker reaches with labels of noise, the mean of eight."""
    reached = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        reached.append(success(regressors, rows, lambda number, _, rng=rng: rng.normal(size=len(rows[number]))))
    return float(np.mean(reached))


@pytest.mark.parametrize("name", PERMITTED)
def test_what_is_exported_tells_no_more_of_torque_than_noise_does(ground: Ground, name: str) -> None:
    """Any permitted export: an attacker with its labels is at most 0.05 better than with labels of noise."""
    seen = exported(ground, PERMITTED[name])
    regressors = [terms(time_s, motion) for time_s, motion, _ in seen]
    rows = [np.clip(np.round(time_s * RATE_HZ).astype(int), 0, ROWS - 1) for time_s, _, _ in seen]
    noise = control(regressors, rows)

    reached = success(regressors, rows, lambda number, _: seen[number][2][:, 0])  # type: ignore[index]

    assert reached <= noise + MARGIN, (reached, noise)


def test_torque_itself_even_thin_and_under_noise_would_tell(ground: Ground) -> None:
    """The mutant: the guard over classes gone, the attacker wins, at a quarter of the rate, under noise of 5 sd."""
    seen = exported(ground, {"subsample": {"keep_every": "4"}})
    regressors = [terms(time_s, motion) for time_s, motion, _ in seen]
    rows = [np.round(time_s * RATE_HZ).astype(int) for time_s, _, _ in seen]
    rng = np.random.default_rng(1)

    def leaked(number: int, joint: int) -> np.ndarray:
        torque: np.ndarray = MOTIONS[number][2][rows[number], joint]
        return torque + rng.normal(0, 5 * torque.std(), len(torque))

    assert success(regressors, rows, leaked) > control(regressors, rows) + 4 * MARGIN
