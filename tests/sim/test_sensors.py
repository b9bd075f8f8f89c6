"""Sensors against what physics says, and their chance against where it belongs."""

from typing import Any

import mujoco
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.catalog import Entry, find
from sim.errors import BadSensor
from sim.motion import find_motion
from sim.sensors import Contact, Depth, Encoders, Error, ForceTorque, Imu, Sensor, from_tables, to_tables
from sim.sensors.noise import deviations, key_of, philox4x32
from sim.slot import SimSlot
from sim.tasks.follow import Follow

G_M_S2 = 9.81
STEPS = 100


def arm(*sensors: Sensor, worlds: int = 1, **fields: Any) -> SimSlot:
    slot_fields: dict[str, Any] = {"threads": 1, "seed": 3, "sensors": sensors, **fields}
    return SimSlot(find("own_arm"), Follow(find_motion("reach_around"), 10.0), worlds=worlds, **slot_fields)


def quadruped(*sensors: Sensor) -> SimSlot:
    """One that has stood for two seconds in its home pose."""
    slot = SimSlot(
        find("own_quadruped"), Follow(find_motion("trot_in_place"), 10.0), worlds=1, threads=1, seed=1, sensors=sensors
    )
    settle(slot)
    return slot


def settle(slot: SimSlot) -> None:
    """Have the robot hold its home pose for two seconds, then read."""
    for _ in range(STEPS):
        slot.core.drives.cohort.q_ref[:, 0] = slot.body.home_q
        slot.core.drives.cohort.submit()
        slot.core.advance(None, slot.substeps)
    slot.sensors.sample(np.array([True]), slot.world_numbers, slot.episodes, slot.steps)


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_published_words(
    counter: tuple[int, int, int, int], key: tuple[int, int], words: tuple[int, ...]
) -> None:
    """The known answers that its authors publish beside their library."""
    c0, c1, c2, c3 = (np.array([n], dtype=np.uint64) for n in counter)

    assert tuple(int(word[0]) for word in philox4x32((c0, c1, c2, c3), key)) == words


def test_deviations_have_mean_0_and_variance_1_and_short_tails() -> None:
    worlds = np.arange(4000)
    zeros = np.zeros(4000, np.int64)
    drawn = deviations(key_of(1, "imu", "noise"), worlds, zeros, zeros, 100)

    # Standard errors with 400,000 draws: 0.0016 of the mean, 0.0022 of the variance.
    assert abs(drawn.mean()) < 0.008
    assert abs(drawn.var() - 1.0) < 0.011
    assert np.abs(drawn).max() <= 4.9


@given(
    st.lists(st.tuples(*[st.integers(0, 2**31)] * 3), min_size=1, max_size=9),
    st.integers(1, 40),
    st.integers(0, 2**63 - 1),
)
def test_a_draw_depends_on_its_place_alone(places: list[tuple[int, int, int]], width: int, seed: int) -> None:
    """Drawn together, one by one, and in a wider row: the same bits."""
    world, episode, step = (np.array(column, np.int64) for column in zip(*places, strict=True))
    key = key_of(seed, "s", "noise")
    together = deviations(key, world, episode, step, width)
    for row in range(len(places)):
        one = slice(row, row + 1)
        assert (
            deviations(key, world[one], episode[one], step[one], width + 3)[0, :width].tobytes()
            == together[row].tobytes()
        )


def test_a_resting_imu_reads_gravity_upwards_and_no_turning() -> None:
    """An arm holds still: its pedestal is bolted down, so the reading is exact."""
    slot = arm(Imu("imu", body="pedestal"))
    for _ in range(5):
        slot.step(np.zeros((1, slot.action_size)))

    assert slot.sensors.rows["imu.accel"][0] == pytest.approx([0.0, 0.0, G_M_S2], abs=1e-9)
    assert slot.sensors.rows["imu.gyro"][0] == pytest.approx([0.0, 0.0, 0.0], abs=1e-12)


def test_an_imu_on_a_turned_base_reads_gravity_in_its_own_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """A base that no joint moves, mounted on a slope."""
    pitch_rad = 0.4
    bare = Entry.mjspec

    def sloped(entry: Entry, **fields: Any) -> mujoco.MjSpec:
        spec = bare(entry, **fields)
        spec.body("pedestal").quat = [np.cos(pitch_rad / 2), 0.0, np.sin(pitch_rad / 2), 0.0]
        return spec

    monkeypatch.setattr(Entry, "mjspec", sloped)
    slot = arm(Imu("imu", body="pedestal"), worlds=2)
    slot.step(np.zeros((2, slot.action_size)))

    felt = G_M_S2 * np.array([-np.sin(pitch_rad), 0.0, np.cos(pitch_rad)])
    assert slot.sensors.rows["imu.accel"] == pytest.approx(np.tile(felt, (2, 1)), abs=1e-9)


def test_an_imu_in_free_fall_reads_nothing() -> None:
    """A quadruped that was lifted off the floor, and let go."""
    slot = SimSlot(
        find("own_quadruped"),
        Follow(find_motion("trot_in_place"), 1.0),
        worlds=1,
        threads=1,
        seed=1,
        sensors=(Imu("imu"),),
    )
    slot.core.qpos[:, 2] += 1.0
    slot.sensors.begin(np.array([0]), slot.world_numbers, slot.episodes)

    assert np.abs(slot.sensors.rows["imu.accel"]).max() < 1e-6


def test_the_feet_of_a_standing_robot_carry_its_weight() -> None:
    model = quadruped().model
    bodies = [model.body(n).name for n in range(1, model.nbody)]
    slot = quadruped(*(Contact(f"c{n}", body=name) for n, name in enumerate(bodies)))
    force = np.sum([slot.sensors.rows[f"c{n}.force"][0] for n in range(len(bodies))], axis=0)

    assert force == pytest.approx([0.0, 0.0, slot.body.mass_kg * G_M_S2], abs=0.01 * slot.body.mass_kg * G_M_S2)


def test_a_wrist_feels_the_weight_of_what_hangs_on_it() -> None:
    """At rest the force is the weight of all that follows, straight up, whatever the wrist's attitude."""
    slot = arm(ForceTorque("wrist", body="wrist_pitch"))
    settle(slot)
    hand = slot.model.body("wrist_pitch").id
    weight_n = float(slot.model.body_subtreemass[hand]) * G_M_S2
    xmat = slot.core.batch.bind("xmat")
    slot.core.batch.forward(stage=mujoco.mjtStage.mjSTAGE_POS)
    turn = xmat[0, hand].reshape(3, 3)

    assert turn @ slot.sensors.rows["wrist.force"][0] == pytest.approx([0.0, 0.0, weight_n], abs=0.02 * weight_n)


def test_depth_is_the_distance_to_a_known_plane() -> None:
    """Looking straight down from the pedestal at height h every ray reads h along the axis, also the oblique ones."""
    height_m = 3.0
    slot = arm(Depth("eye", body="pedestal", at_m=(-2.0, 0.0, height_m), pitch_rad=np.pi / 2, width_px=8, height_px=6))
    ahead = arm(Depth("eye", body="pedestal", at_m=(-2.0, 0.0, height_m), pitch_rad=-np.pi / 2, range_m=7.0))
    above_m = height_m + float(slot.model.body("pedestal").pos[2])

    assert slot.sensors.rows["eye.depth"] == pytest.approx(np.full((1, 48), above_m), abs=1e-9)
    assert (ahead.sensors.rows["eye.depth"] == 7.0).all()


def test_worlds_go_the_same_way_with_and_without_sensors() -> None:
    noisy = Error(noise=0.1, bias=0.1, resolution=0.01, delay_s=0.04)
    watched = arm(
        Imu("imu", body="wrist_pitch", accel=noisy), Encoders("enc", angle=noisy), Depth("eye", body="elbow"), worlds=2
    )
    plain = arm(worlds=2)
    for step in range(20):
        action = 0.3 * np.sin(step + np.arange(14)).reshape(2, 7)
        watched.step(action), plain.step(action)

    assert (watched.digests() == plain.digests()).all()


def test_readings_do_not_depend_on_the_size_of_the_slot() -> None:
    sensors = (
        Imu("imu", body="wrist_pitch", gyro=Error(noise=0.01, bias=0.1)),
        Encoders("enc", angle=Error(noise=1e-3, resolution=1e-4, delay_s=0.06)),
        Depth("eye", body="elbow", depth=Error(noise=0.01)),
    )
    many, alone = arm(*sensors, worlds=3), arm(*sensors, first_world=2)
    for step in range(8):
        action = 0.3 * np.sin(step + np.arange(21)).reshape(3, 7)
        many.step(action), alone.step(action[2:])
        for name, rows in alone.sensors.rows.items():
            assert rows[0].tobytes() == many.sensors.rows[name][2].tobytes(), name


def test_noise_bias_resolution_and_delay_are_what_was_asked_for() -> None:
    errors = {
        "exact": Error(),
        "noisy": Error(noise=0.02),
        "biased": Error(bias=0.5),
        "coarse": Error(resolution=0.01),
        "late": Error(delay_s=0.06),
    }
    slot = arm(*(Encoders(name, angle=error) for name, error in errors.items()))
    seen: dict[str, list[np.ndarray]] = {name: [] for name in errors}
    for _ in range(STEPS):
        slot.step(np.zeros((1, slot.action_size)))
        for name, rows in seen.items():
            rows.append(slot.sensors.rows[f"{name}.angle"][0].copy())
    read = {name: np.array(rows) for name, rows in seen.items()}
    noise = read["noisy"] - read["exact"]

    # 700 draws: the deviation's own error is 3 %.
    assert noise.std() == pytest.approx(0.02, rel=0.15)
    bias = read["biased"] - read["exact"]
    assert np.ptp(bias, axis=0) == pytest.approx(np.zeros(7), abs=1e-12)
    assert np.abs(bias[0]).max() > 0.05
    assert read["coarse"] / 0.01 == pytest.approx(np.rint(read["coarse"] / 0.01), abs=1e-9)
    assert np.abs(read["coarse"] - read["exact"]).max() <= 0.005 + 1e-12
    assert (read["late"][3:] == read["exact"][:-3]).all()


def test_a_snapshot_holds_what_sensors_remember() -> None:
    error = Error(noise=0.01, bias=0.1, delay_s=0.08)
    slot = arm(Encoders("enc", angle=error))
    for _ in range(5):
        slot.step(np.zeros((1, slot.action_size)))
    kept = slot.snapshot()
    rows = []
    for _ in range(2):
        slot.restore(kept)
        rows.append([])
        for _ in range(6):
            slot.step(np.full((1, slot.action_size), 0.2))
            rows[-1].append(slot.sensors.rows["enc.angle"].tobytes())
    assert rows[0] == rows[1]


def test_sensors_survive_their_way_as_tables() -> None:
    sensors = (Imu("a", at_m=(0.1, 0.0, 0.2), gyro=Error(noise=0.1)), Depth("b", width_px=3), Contact("c", body="x"))

    assert from_tables(to_tables(sensors)) == sensors


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ({"kind": "nose", "name": "a"}, "kind 'nose': one of imu"),
        ({"kind": "imu", "name": "A!"}, "name 'A!'"),
        ({"kind": "imu", "name": "a", "weight": 3}, "no field 'weight'"),
        ({"kind": "imu", "name": "a", "gyro": {"noise": float("nan")}}, "noise = nan"),
        ({"kind": "imu", "name": "a", "gyro": {"noise": -1.0}}, "noise = -1.0"),
        ({"kind": "imu", "name": "a", "gyro": {"delay_s": 100.0}}, "at most 2.0"),
        ({"kind": "imu", "name": "a", "gyro": {"loudness": 1.0}}, "gyro"),
        ({"kind": "depth", "name": "a", "width_px": 1_000_000}, "rays"),
        ({"kind": "contact"}, "name"),
    ],
)
def test_a_sensor_that_makes_no_sense_is_refused_by_name(table: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadSensor, match=reason):
        from_tables([table])


def test_a_sensor_on_a_body_that_is_not_there_is_refused() -> None:
    with pytest.raises(BadSensor, match="no body 'tail'; there are"):
        arm(Imu("imu", body="tail"))
