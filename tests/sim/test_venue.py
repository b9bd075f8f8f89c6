"""Venue twins: everything is where the file says, and a wrong file is answered by name."""

import copy
import json
import math
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from sim.errors import BrokenVenue, MissingModel
from sim.host import emulated_units, units_of
from sim.host import main as host_main
from sim.venue import FIXTURES, load_venue, parse_venue, venue_spec

ROOT = Path(__file__).parents[2]

HALL: dict[str, Any] = {
    "venue": {"id": "hall", "name": "Hall", "width_m": 12.0, "depth_m": 8.0},
    "ports": {"api": 0},
    "cell": [
        {
            "id": "line", "x_m": 3.0, "y_m": 5.0, "width_m": 5.0, "depth_m": 4.0,
            "fixtures": [{"kind": "conveyor", "x_m": 0.0, "y_m": 1.0, "speed_m_s": 0.4}],
        },
        {
            "id": "yard", "x_m": 9.0, "y_m": 4.0, "width_m": 5.0, "depth_m": 6.0, "yaw_deg": 90.0,
            "fixtures": [
                {"kind": kind, "x_m": -1.5 + 0.7 * i, "y_m": 0.0} for i, kind in enumerate(sorted(FIXTURES))
            ],
        },
    ],
    "unit": [
        {"id": "dog", "robot": "own_quadruped", "x_m": 2.0, "y_m": 2.0, "yaw_deg": 90.0, "host": "a"},
        {"id": "arm-1", "robot": "own_arm", "x_m": 6.0, "y_m": 6.0, "host": "a"},
        {"id": "arm-2", "robot": "own_arm", "x_m": 6.0, "y_m": 7.0, "yaw_deg": 180.0, "host": "b"},
    ],
}  # fmt: skip


def scene(table: dict[str, Any]) -> tuple[mujoco.MjModel, mujoco.MjData]:
    model = venue_spec(parse_venue(table), visuals=False).compile()
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, model.key("home").id)
    mujoco.mj_forward(model, data)
    return model, data


def test_robots_stand_at_their_places_with_prefixed_joints() -> None:
    model, data = scene(HALL)

    assert model.nu == 12 + 7 + 7
    assert model.actuator("arm-2/elbow").id != model.actuator("arm-1/elbow").id
    assert data.body("dog/trunk").xpos[:2] == pytest.approx([2.0, 2.0])
    assert data.body("arm-2/pedestal").xpos == pytest.approx([6.0, 7.0, 0.0])
    forward = data.body("dog/trunk").xmat.reshape(3, 3)[:, 0]
    assert forward == pytest.approx([0.0, 1.0, 0.0], abs=1e-9)
    home = {j: float(data.joint(f"arm-1/{j}").qpos[0]) for j in ("elbow", "shoulder_pitch")}
    assert home == {"elbow": 1.6, "shoulder_pitch": 0.5}


def test_cells_turn_their_fixtures_with_them() -> None:
    _, data = scene(HALL)
    stand = data.body("cell:yard:" + sorted(FIXTURES)[0] + "0")

    assert stand.xpos[:2] == pytest.approx([9.0, 4.0 - 1.5])


def test_what_lies_on_a_conveyor_is_carried_along() -> None:
    """A box on the belt reaches the belt's speed; on a belt that stands still it does not move."""
    speeds = []
    for speed in (0.4, 0.0):
        table = copy.deepcopy(HALL)
        table["unit"] = []
        table["cell"][0]["fixtures"][0]["speed_m_s"] = speed
        spec = venue_spec(parse_venue(table))
        body = spec.worldbody.add_body(name="parcel", pos=(2.0, 6.0, 0.76))
        body.add_freejoint()
        body.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=(0.05, 0.05, 0.05), mass=0.5)
        for key in list(spec.keys):
            spec.delete(key)
        model = spec.compile()
        data = mujoco.MjData(model)
        for _ in range(600):
            mujoco.mj_step(model, data)
        speeds.append(float(data.body("parcel").cvel[3]))
        assert data.body("parcel").xpos[2] > 0.7

    assert speeds[0] == pytest.approx(0.4, abs=0.05)
    assert speeds[1] == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize("kind", sorted(FIXTURES))
def test_every_fixture_is_solid_and_stands_on_the_floor(kind: str) -> None:
    """Its shapes reach down to the floor and none of them goes far below it."""
    table = {"venue": HALL["venue"], "cell": [{"id": "c", "x_m": 6.0, "y_m": 4.0, "width_m": 6.0, "depth_m": 6.0,
             "fixtures": [{"kind": kind, "x_m": 0.0, "y_m": 0.0}]}]}  # fmt: skip
    model = venue_spec(parse_venue(table)).compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    lows, highs = [], []
    for geom in range(model.ngeom):
        if model.geom_bodyid[geom] == model.body(f"cell:c:{kind}0").id:
            half = np.abs(data.geom_xmat[geom].reshape(3, 3)[2]) @ model.geom_size[geom]
            lows.append(data.geom_xpos[geom][2] - half)
            highs.append(data.geom_xpos[geom][2] + half)
            assert model.geom_contype[geom] == 1

    assert min(lows) == pytest.approx(0.0, abs=0.07)
    assert max(highs) > 0.3


def test_a_ramp_meets_the_floor_and_its_landing_without_a_step() -> None:
    """Rays from above find the ramp's height growing evenly from 0 to the landing."""
    table = {"venue": HALL["venue"], "cell": [{"id": "c", "x_m": 6.0, "y_m": 4.0, "width_m": 6.0, "depth_m": 6.0,
             "fixtures": [{"kind": "ramp", "x_m": 0.0, "y_m": 0.0}]}]}  # fmt: skip
    model = venue_spec(parse_venue(table)).compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    heights = []
    for x in np.linspace(-1.0, 1.0, 21):
        hit = np.zeros(1, dtype=np.int32)
        distance = mujoco.mj_ray(
            model, data, np.array([6.0 + x, 4.0, 5.0]), np.array([0.0, 0.0, -1.0]), None, 1, -1, hit
        )
        heights.append(5.0 - distance)

    assert heights == pytest.approx(np.linspace(0.0, FIXTURES["ramp"].size["rise_m"], 21), abs=0.02)


def test_the_scene_runs_without_blowing_up() -> None:
    model, data = scene(HALL)
    for _ in range(200):
        mujoco.mj_step(model, data)

    assert np.isfinite(data.qpos).all()
    assert not any(data.warning[i].number for i in range(len(data.warning)))


def test_the_demo_venue_is_sound() -> None:
    venue = load_venue(ROOT / "configs" / "venues" / "demo.toml")

    assert len(venue.cells) >= 3
    assert len(venue.units) >= 6
    assert all(unit.host for unit in venue.units)


def broken(change: str) -> dict[str, Any]:
    table = copy.deepcopy(HALL)
    match change:
        case "width":
            table["venue"]["width_m"] = -1.0
        case "nan":
            table["unit"][0]["x_m"] = math.nan
        case "text":
            table["cell"][0]["y_m"] = "two"
        case "outside":
            table["unit"][1]["x_m"] = 99.0
        case "twice":
            table["unit"][1]["id"] = "dog"
        case "kind":
            table["cell"][0]["fixtures"][0]["kind"] = "conveyer"
        case "size":
            table["cell"][0]["fixtures"][0]["hight_m"] = 1.0
        case "negative":
            table["cell"][0]["fixtures"][0]["width_m"] = -1.0
        case "no id":
            del table["cell"][1]["id"]
    return table


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("width", r"\[venue\].*width_m"), ("nan", "'dog'.*x_m"), ("text", "'line'.*y_m"), ("outside", "arm-1.*outside"),
        ("twice", "two units.*dog"), ("kind", "conveyer.*conveyor"), ("size", "hight_m"), ("negative", "width_m"),
        ("no id", r"\[\[cell\]\] 1: id"),
    ],
)  # fmt: skip
def test_a_wrong_venue_is_refused_by_name(change: str, said: str) -> None:
    with pytest.raises(BrokenVenue, match=said):
        parse_venue(broken(change))


def test_a_file_that_is_no_toml_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "v.toml").write_text("[venue")
    with pytest.raises(BrokenVenue, match=r"v\.toml"):
        load_venue(tmp_path / "v.toml")


def test_units_whose_models_are_missing_stay_offline_and_the_others_come_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim.resolve.wheel_root", lambda package: None)
    table = copy.deepcopy(HALL)
    table["unit"][0]["robot"] = "unitree_go1"
    venue = parse_venue(table)
    up = emulated_units(venue.units, period_s=0.002)

    assert [twin.id for twin, _ in up] == ["arm-1", "arm-2"]
    assert up[0][1].model is up[1][1].model
    assert [twin.id for twin in units_of(venue, "a")] == ["dog", "arm-1"]
    with pytest.raises(MissingModel):
        venue_spec(venue)
    assert venue_spec(venue, skip_missing=True).compile().nu == 14


def test_all_units_of_a_host_have_the_actuators_that_it_is_told() -> None:
    twins = parse_venue(HALL).units

    assert {unit.actuators for _, unit in emulated_units(twins, period_s=0.002)} == {"physical"}
    assert {unit.actuators for _, unit in emulated_units(twins, period_s=0.002, actuators="ideal")} == {"ideal"}


def test_a_host_that_the_venue_does_not_have_cannot_be_started(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 tells a supervisor that starting it again would not help."""
    path = ROOT / "configs" / "venues" / "demo.toml"
    (tmp_path / "token").write_text("t")
    code = host_main(
        ["--venue", str(path), "--host", "floor-z", "--scheduler", "127.0.0.1:1", "--token-file",
         str(tmp_path / "token"), "--state", str(tmp_path)]
    )  # fmt: skip

    assert code == 2
    assert "floor-z" in capsys.readouterr().err


def test_a_host_announces_what_it_serves_and_ends_cleanly_when_told_to(tmp_path: Path) -> None:
    """Own robots only, no scheduler anywhere: it serves, keeps knocking, and SIGTERM brings it to a clean end."""
    text = (
        '[venue]\nid = "v"\nwidth_m = 4\ndepth_m = 4\n'
        '[[unit]]\nid = "a"\nrobot = "own_arm"\nhost = "h"\nx_m = 1\ny_m = 1\n'
    )
    (tmp_path / "v.toml").write_text(text)
    (tmp_path / "token").write_text("t")
    command = [
        sys.executable, "-m", "sim.host", "--venue", str(tmp_path / "v.toml"), "--host", "h",
        "--scheduler", "127.0.0.1:9", "--token-file", str(tmp_path / "token"), "--state", str(tmp_path),
    ]  # fmt: skip
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        try:
            patience_s = time.monotonic() + 30.0
            while not (tmp_path / "h.address").exists() and process.poll() is None and time.monotonic() < patience_s:
                time.sleep(0.05)
            served = json.loads((tmp_path / "h.address").read_text())
            process.send_signal(signal.SIGTERM)
            said = process.communicate(timeout=30.0)[1]
        finally:
            process.kill()

    assert served["units"] == 1
    assert served["address"].startswith("127.0.0.1:")
    assert process.returncode == 0, said
