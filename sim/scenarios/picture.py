"""Pictures of scenarios: one at work, and all of them side by side with their names."""

import mujoco
import numpy as np

from sim.catalog import find
from sim.picture import Image, draw
from sim.scenarios.catalogue import robots_for
from sim.scenarios.scenario import Scenario, scenarios
from sim.scenarios.scene import WORK_HEIGHT_M
from sim.scenarios.trial import Trial

BEFORE_S = 2.2
"""How long the scripted policy works before its picture is taken."""
CELL_PX = (320, 240)


def scenario_picture(
    scenario: Scenario,
    *,
    level: int = 1,
    seed: int = 0,
    robot: str = "",
    width_px: int = 960,
    height_px: int = 720,
) -> Image:
    """Draw a scenario while its scripted policy works, (height_px, width_px, 3).

    Raises as `sim.scenarios.scene.build`; NoDisplay.
    """
    entry = find(robot) if robot else robots_for(scenario)[0]
    trial = Trial(scenario, entry, level=level, seed=seed, visuals=True)
    for _ in trial.steps("pass"):
        if trial.time_s >= BEFORE_S:
            break
    camera = mujoco.MjvCamera()
    if trial.family.on_floor:
        camera.lookat = (1.8, 0.0, 0.2)
        camera.distance, camera.azimuth, camera.elevation = 4.4, 62.0, -24.0
    else:
        camera.lookat = (-0.12, 0.0, WORK_HEIGHT_M - 0.05)
        camera.distance, camera.azimuth, camera.elevation = 1.6, 115.0, -16.0
        if trial.family.approach(scenario) == "forward":
            # From beside the robot and a little behind it: the panel's face is what counts.
            camera.azimuth = 55.0
    return draw(trial.scene.model, trial.scene.data, camera, width_px=width_px, height_px=height_px)


def scenarios_picture(*, columns: int = 5) -> Image:
    """Draw all scenarios side by side, a sector a row, in the order of the catalogue. Raises as `scenario_picture`."""
    width, height = CELL_PX
    drawn = []
    for scenario in scenarios().values():
        # Drawn twice as large and averaged: smooth edges without the driver's help.
        image = scenario_picture(scenario, level=3, seed=1, width_px=2 * width, height_px=2 * height)
        small = image.reshape(height, 2, width, 2, 3).mean(axis=(1, 3)).astype(np.uint8)
        small[-2:, :] = small[:, -2:] = 255
        drawn.append(small)
    drawn += [np.full_like(drawn[0], 255)] * (-len(drawn) % columns)
    rows = [np.concatenate(drawn[i : i + columns], axis=1) for i in range(0, len(drawn), columns)]
    return np.concatenate(rows, axis=0)
