"""Random delays: their numbers, their bounds, their order, and that no batch changes them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import controller
from controller import ActuatorPhysics, Cohort, SpecError
from controller.delay import philox
from tests.controller.robots import PERIOD_S, robot, running, same_bits

ONES, PI = 0xFFFFFFFF, (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344)


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((ONES,) * 4, (ONES, ONES), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (PI, (0xA4093822, 0x299F31D0), (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)),
    ],
)
def test_philox_gives_the_known_answers(
    counter: tuple[int, int, int, int], key: tuple[int, int], expected: tuple[int, ...]
) -> None:
    """Random123's known-answer vectors of Philox4x32-10."""
    assert tuple(int(word) for word in philox(counter, key)) == expected


def jittered(units: int, backend: str, *, fixed: int = 1, jitter: int = 3, seed: int = 7) -> Cohort:
    made = ActuatorPhysics(command_delay_s=fixed * PERIOD_S, command_jitter_s=jitter * PERIOD_S, seed=seed)
    return running(robot(3, watchdog_s=1e6), units, physics=made, backend=backend)


def feed_forward(cohort: Cohort, tick: int) -> None:
    """Command a torque that tells its tick, step, and leave the torque that acted in `tau`."""
    cohort.tau_ff[:] = 0.5 * tick
    cohort.kp[:] = cohort.kd[:] = 0.0
    cohort.submit()
    cohort.step()


def test_each_joint_acts_on_commands_of_its_own_age_within_bounds_and_never_on_an_older_one(backend: str) -> None:
    cohort = jittered(20, backend)
    ages, before = [], np.zeros((3, 20))
    for tick in range(1, 150):
        feed_forward(cohort, tick)
        acted = np.asarray(cohort.tau, np.float64) / 0.5
        if tick > 5:
            assert (acted >= before).all(), "the newest wins"
            ages.append(tick - acted)
        before = acted
    seen = np.array(ages)

    assert set(np.unique(seen)) == {1.0, 2.0, 3.0, 4.0}
    assert (seen.std(axis=(1, 2)) > 0).mean() > 0.9, "joints and units draw each their own"


def test_drawn_delays_are_equally_likely() -> None:
    """20,000 draws of one in five: each within five standard deviations of its share."""
    word, *_ = philox((np.arange(20_000, dtype=np.uint32), 4, 9, 0), (7, 0))
    drawn = (word.astype(np.uint64) * np.uint64(5)) >> np.uint64(32)
    counts = np.bincount(drawn.astype(np.int64), minlength=5)

    assert np.abs(counts - 4000).max() < 5.0 * np.sqrt(20_000 * 0.2 * 0.8)


@settings(max_examples=10, deadline=None)
@given(split=st.integers(1, 19), seed=st.integers(0, 2**64 - 1))
def test_units_have_the_same_delays_in_any_batch(split: int, seed: int) -> None:
    """Twenty units together, and the same in two cohorts that keep their keys: the same torques, bit for bit."""
    form = controller.backend()
    whole = jittered(20, form, seed=seed)
    parts = [jittered(split, form, seed=seed), jittered(20 - split, form, seed=seed)]
    parts[1].delay_key[:] = np.arange(split, 20)
    # What was drawn when they were armed went by the keys from before.
    for cohort in (whole, *parts):
        assert cohort.block.physics is not None
        cohort.block.physics.lag[:] = 4
    for tick in range(1, 30):
        for cohort in (whole, *parts):
            feed_forward(cohort, tick)

        assert same_bits(whole.tau[:, :split], parts[0].tau)
        assert same_bits(whole.tau[:, split:], parts[1].tau)


def test_another_seed_or_key_gives_other_delays(backend: str) -> None:
    torques = []
    for seed, key in ((7, 0), (7, 0), (8, 0), (7, 1)):
        cohort = jittered(1, backend, seed=seed)
        cohort.delay_key[:] = key
        torques.append([])
        for tick in range(1, 60):
            feed_forward(cohort, tick)
            torques[-1].append(cohort.tau.copy())
    first, again, other_seed, other_key = (np.array(each) for each in torques)

    assert same_bits(first, again)
    assert not same_bits(first, other_seed)
    assert not same_bits(first, other_key)


def test_what_was_told_before_a_stop_never_acts_after_it(backend: str) -> None:
    cohort = jittered(1, backend, fixed=2, jitter=5)
    for tick in range(1, 20):
        feed_forward(cohort, tick)
    cohort.request_stop(0, 0)
    cohort.step()
    cohort.reset(0)
    cohort.arm(0)
    seen = []
    for _ in range(12):
        cohort.set_target(0, tau_ff=-1.0, kp=0.0, kd=0.0)
        cohort.step()
        seen.append(cohort.tau.copy())

    assert set(np.unique(seen)) == {-1.0, 0.0}
    assert (seen[-1] == -1.0).all()


def test_impossible_delays_are_refused_by_name() -> None:
    for wrong, reason in (
        ({"command_jitter_s": -0.1}, "command_jitter_s = -0.1"),
        ({"command_delay_s": 0.6, "command_jitter_s": 0.6}, r"must be at most 1.0 s"),
        ({"seed": -1}, "seed = -1"),
        ({"seed": 1 << 64}, "seed ="),
    ):
        with pytest.raises(SpecError, match=reason):
            ActuatorPhysics(**wrong)
