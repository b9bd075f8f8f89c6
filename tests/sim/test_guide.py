"""The guide's examples are carried out as they stand there."""

import re
from pathlib import Path

import numpy as np
import pytest

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "simulation.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)


def carried_out(example: str) -> dict:  # type: ignore[type-arg]
    pytest.importorskip("gymnasium", reason="the extra `env` is not installed")
    names: dict = {}  # type: ignore[type-arg]
    exec(compile(example, str(GUIDE), "exec"), names)
    return names


def test_the_first_example_steps_sixteen_robots(capsys: pytest.CaptureFixture[str]) -> None:
    names = carried_out(EXAMPLES[0])

    assert names["obs"].shape == (16, 10)
    assert "velocity_forward_m_s" in capsys.readouterr().out


def test_the_randomisations_example_draws_for_each_term() -> None:
    names = carried_out(EXAMPLES[1])

    assert {name.split("(")[0] for name in names["drawn"]} == {
        "mass_scale", "payload_kg", "friction_scale", "kp_scale",
    }  # fmt: skip
    model = names["env"].slot.core.batch.get_model(0)
    payload = names["drawn"]["payload_kg(trunk)"][0]
    scale = names["drawn"]["mass_scale(*)"][0]
    assert model.body("trunk").mass[0] == pytest.approx(names["env"].slot.model.body("trunk").mass[0] * scale + payload)


def test_the_served_policys_example_drives_worlds() -> None:
    for package in ("gymnasium", "websockets", "msgpack"):
        pytest.importorskip(package, reason="the extra `env` is not installed")
    from sim.env.vector import make_vec
    from sim.env.wire import pack
    from tests.sim.policy_server import answering, server

    env = make_vec("own_quadruped", "walk", 2)
    asked = []

    def policy(observation):  # type: ignore[no-untyped-def]
        asked.append(observation["prompt"])
        return pack({"actions": np.zeros((10, 12), np.float32)})

    with server(answering(policy)) as address:
        carried_out(EXAMPLES[2])["drive"](address, env, 9)

    assert asked == ["walk"] * 4
    assert env.slot.steps.tolist() == [9, 9]


def test_the_table_of_quantities_is_complete() -> None:
    from sim.randomisation import QUANTITIES, Level

    words = {Level.NOTHING: "nothing", Level.CONSTANTS: "constants", Level.MODEL: "the model"}
    for name, quantity in QUANTITIES.items():
        (row,) = [line for line in GUIDE.read_text().splitlines() if line.startswith("|") and f"`{name}`" in line]
        assert row.rstrip(" |").endswith(words[quantity.level]), name
