"""Our two-arm torso: the humanoid's waist, arms and hands on a pedestal; 17 joints, 1.5 m tall."""

from dataclasses import replace

import mujoco

from sim.own.humanoid import links as humanoid_links
from sim.own.table import DARK, STEEL, Link, Solid, build

PEDESTAL_M = 0.85


def links() -> list[Link]:
    """The whole table, base first: the pedestal in the place of pelvis and legs."""
    pedestal = Link(
        "pedestal",
        "",
        (0.0, 0.0, 0.0),
        None,
        (
            Solid("cylinder", (0.26,), 30.0, ends_m=((0, 0, 0), (0, 0, 0.03)), rgba=DARK, touches=True),
            Solid(
                "cylinder", (0.070,), 12.0, ends_m=((0, 0, 0.03), (0, 0, PEDESTAL_M - 0.06)), rgba=STEEL, touches=True
            ),
            Solid("cylinder", (0.085,), 1.5, ends_m=((0, 0, PEDESTAL_M - 0.06), (0, 0, PEDESTAL_M + 0.02)), rgba=DARK),
        ),
    )
    upper = []
    for link in humanoid_links():
        if "_hip_" in link.name or link.name.endswith("_knee") or "_ankle_" in link.name or link.name == "pelvis":
            continue
        if link.parent == "pelvis":
            link = replace(link, parent="pedestal", at_m=(0.0, 0.0, PEDESTAL_M + link.at_m[2]))
        upper.append(link)
    return [pedestal, *upper]


def torso() -> mujoco.MjSpec:
    """Generate the torso. Home: upper arms hanging, forearms forward over a table."""
    home = {"left_shoulder_roll": 0.18, "right_shoulder_roll": -0.18}
    for side in ("left", "right"):
        home |= {f"{side}_shoulder_pitch": -0.2, f"{side}_elbow": -1.3}
    return build(
        "own_torso",
        links(),
        floating=False,
        home=home,
        base_height_m=0.0,
        sites={"left_hand": ("left_wrist_roll", (0, 0, -0.1)), "right_hand": ("right_wrist_roll", (0, 0, -0.1))},
    )
