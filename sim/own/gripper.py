"""Our gripper: two driven fingers that slide on one rail, 1.3 kg, opens to 80 mm."""

import mujoco

from sim.own.table import ACCENT, DARK, STEEL, Hinge, Link, Solid, build

STROKE_M = 0.040
"""Travel of each finger."""
RAIL_M = 0.075
"""Height of the rail above the flange."""
FINGER_M = 0.075
"""Length of a finger."""


def _finger(side: str) -> Link:
    out = 1 if side == "left" else -1
    return Link(
        f"{side}_finger",
        "flange",
        (0.0, 0.0, RAIL_M),
        # Each slides outwards: 0 is closed on both sides.
        Hinge(side, (0.0, STROKE_M), 60.0, 0.15, 8.0, 1.0),
        (
            Solid("box", (0.014, 0.012, 0.010), 0.06, at_m=(0, 0.012 * out, 0.004), rgba=DARK),
            Solid(
                "box", (0.011, 0.007, 0.032), 0.06, at_m=(0, 0.007 * out, FINGER_M - 0.032), rgba=STEEL, touches=True,
                friction=1.2,
            ),
        ),
    )  # fmt: skip


def gripper() -> mujoco.MjSpec:
    """Generate the gripper on a flange, its fingers upwards. Home: half open."""
    flange = Link(
        "flange",
        "",
        (0.0, 0.0, 0.0),
        None,
        (
            Solid("cylinder", (0.042,), 0.20, ends_m=((0, 0, 0), (0, 0, 0.012)), rgba=STEEL, touches=True),
            Solid("cylinder", (0.036,), 0.45, ends_m=((0, 0, 0.012), (0, 0, 0.048)), rgba=DARK, touches=True),
            Solid("box", (0.026, 0.064, 0.013), 0.45, at_m=(0, 0, 0.061), touches=True),
            Solid("box", (0.027, 0.012, 0.004), 0.05, at_m=(0, 0, 0.045), rgba=ACCENT),
        ),
    )
    return build(
        "own_gripper",
        [flange, _finger("left"), _finger("right")],
        floating=False,
        home={"left_finger": STROKE_M / 2, "right_finger": STROKE_M / 2},
        base_height_m=0.0,
        sites={"end_effector": ("flange", (0.0, 0.0, RAIL_M + 0.06))},
    )
