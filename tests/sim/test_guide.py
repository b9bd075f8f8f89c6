"""The guide's examples are carried out as they stand there."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim import catalog
from sim.slot_process import LeasedSlot, SlotSpec, TaskWork
from tests.client.fake_venue import VENDOR_TOKEN, FakeVenue

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "simulation.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)


def example(line: str) -> str:
    """Return the one example that has a line which begins so."""
    (found,) = [each for each in EXAMPLES if any(own.startswith(line) for own in each.splitlines())]
    return found


def carried_out(code: str, **names: Any) -> dict[str, Any]:
    exec(compile(code, str(GUIDE), "exec"), names)
    return names


@pytest.fixture
def env_extra() -> None:
    for package in ("gymnasium", "websockets", "msgpack"):
        pytest.importorskip(package, reason="the extra `env` is not installed")


def test_the_example_of_a_job_in_worlds_submits_one(monkeypatch: pytest.MonkeyPatch) -> None:
    venue = FakeVenue()
    venue.start()
    try:
        monkeypatch.setenv("PALAESTRA_ADDRESS", venue.address)
        monkeypatch.setenv("PALAESTRA_TOKEN", VENDOR_TOKEN)
        names = carried_out(example("with Client.connect("))
    finally:
        venue.stop()

    assert names["job"].name.startswith("vendors/acme/jobs/")
    assert names["job"].evaluate.robot_model == "own_arm"


def test_the_example_of_a_slot_runs_to_its_horizon_and_is_kept() -> None:
    if not catalog.find("unitree_g1").available():
        pytest.skip("the extra `robots` is not installed")
    names = carried_out(example("from sim.slot_process import LeasedSlot"))

    assert names["obs"].shape[0] == names["reward"].shape[0] == 16
    assert names["truncated"].all() or names["terminated"].any()
    assert len(names["kept"]) > 1000


def test_the_example_of_a_model_of_ones_own_steps_it(tmp_path: Path) -> None:
    (tmp_path / "robot.xml").write_text(
        "<mujoco><worldbody><body><joint name='j' type='hinge'/><geom size='0.1' mass='1'/></body></worldbody>"
        "<actuator><motor joint='j'/></actuator></mujoco>"
    )
    code = example("from sim.slot_process import ModelWork").replace("/models/mine", str(tmp_path))
    names = carried_out(code, np=np, LeasedSlot=LeasedSlot, SlotSpec=SlotSpec)

    assert names["obs"].shape[0] == 64


def test_the_example_of_sensors_gives_readings_of_that_shape() -> None:
    if not catalog.find("unitree_g1").available():
        pytest.skip("the extra `robots` is not installed")
    names = carried_out(example("from sim.sensors import"), TaskWork=TaskWork)

    with LeasedSlot(SlotSpec(names["work"], worlds=2)) as slot:
        slot.reset()
        readings = slot.readings()
    assert readings["imu.accel"].shape == (2, 3)
    assert readings["eye.depth"].shape[0] == 2


@pytest.mark.usefixtures("env_extra")
def test_the_first_example_steps_sixteen_robots(capsys: pytest.CaptureFixture[str]) -> None:
    names = carried_out(example('env = make_vec("own_quadruped", "walk", num_envs=16'))

    assert names["obs"].shape == (16, 10)
    assert "velocity_forward_m_s" in capsys.readouterr().out


@pytest.mark.usefixtures("env_extra")
def test_the_randomisations_example_draws_for_each_term() -> None:
    names = carried_out(example("from sim.distribution import"))

    assert {name.split("(")[0] for name in names["drawn"]} == {
        "mass_scale", "payload_kg", "friction_scale", "kp_scale",
    }  # fmt: skip
    model = names["env"].slot.core.batch.get_model(0)
    payload = names["drawn"]["payload_kg(trunk)"][0]
    scale = names["drawn"]["mass_scale(*)"][0]
    assert model.body("trunk").mass[0] == pytest.approx(names["env"].slot.model.body("trunk").mass[0] * scale + payload)


@pytest.mark.usefixtures("env_extra")
def test_the_served_policys_example_drives_worlds() -> None:
    from sim.env.vector import make_vec
    from sim.env.wire import pack
    from tests.sim.policy_server import answering, server

    env = make_vec("own_quadruped", "walk", 2)
    asked = []

    def policy(observation):  # type: ignore[no-untyped-def]
        asked.append(observation["prompt"])
        return pack({"actions": np.zeros((10, 12), np.float32)})

    with server(answering(policy)) as address:
        carried_out(example("from sim.env.openpi import"))["drive"](address, env, 9)

    assert asked == ["walk"] * 4
    assert env.slot.steps.tolist() == [9, 9]


@pytest.mark.usefixtures("env_extra")
def test_the_served_policys_example_carries_no_chunk_into_the_next_episode() -> None:
    from sim.env.vector import make_vec
    from sim.env.wire import pack
    from tests.sim.policy_server import answering, server

    env = make_vec("own_quadruped", "walk", 2)
    env.slot.horizon_steps = 3
    asked = []

    def policy(observation):  # type: ignore[no-untyped-def]
        asked.append(env.slot.steps.tolist())
        return pack({"actions": np.zeros((10, 12), np.float32)})

    with server(answering(policy)) as address:
        carried_out(example("from sim.env.openpi import"))["drive"](address, env, 6)

    assert env.slot.episodes.tolist() == [1, 1]
    assert asked == [[0, 0]] * 4, "twice at the start of an episode, for each world, and never between"


def test_the_table_of_quantities_is_complete() -> None:
    from sim.randomisation import QUANTITIES, Level

    words = {Level.NOTHING: "nothing", Level.CONSTANTS: "constants", Level.MODEL: "the model"}
    for name, quantity in QUANTITIES.items():
        (row,) = [line for line in GUIDE.read_text().splitlines() if line.startswith("|") and f"`{name}`" in line]
        assert row.rstrip(" |").endswith(words[quantity.level]), name
