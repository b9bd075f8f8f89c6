"""Our quadruped: twelve joints, 14 kg, legs of two equal 0.21 m links."""

import math

import mujoco

from sim.own.table import ACCENT, DARK, GLASS, SHELL, STEEL, Hinge, Link, Solid, build, mirrored

THIGH_M = 0.21
SHIN_M = 0.21
FOOT_RADIUS_M = 0.024
HOME_THIGH_RAD = 0.80
HOME_KNEE_RAD = -1.55


def _left_leg(end: str, x_m: float) -> list[Link]:
    """One left leg, `end` front or rear: abduction about x, thigh about y, knee about y."""
    hip, thigh, knee = f"left_{end}_hip", f"left_{end}_thigh", f"left_{end}_knee"
    return [
        Link(
            hip,
            "trunk",
            (x_m, 0.055, 0.0),
            Hinge("roll", (-0.85, 0.85), 24.0, 0.006),
            (
                Solid("cylinder", (0.046,), 0.45, ends_m=((-0.035, 0, 0), (0.035, 0, 0)), rgba=DARK),
                Solid("cylinder", (0.043,), 0.25, ends_m=((0, 0.035, 0), (0, 0.07, 0)), rgba=STEEL),
            ),
        ),
        Link(
            thigh,
            hip,
            (0.0, 0.085, 0.0),
            Hinge("pitch", (-0.80, 2.90), 24.0, 0.006),
            (
                Solid("cylinder", (0.045,), 0.50, ends_m=((0, -0.022, 0), (0, 0.024, 0)), rgba=ACCENT),
                Solid("capsule", (0.023,), 0.40, ends_m=((0, 0, -0.02), (0, 0, -THIGH_M)), touches=True),
                Solid("cylinder", (0.026,), 0.10, ends_m=((0, -0.02, -THIGH_M), (0, 0.02, -THIGH_M)), rgba=DARK),
            ),
        ),
        Link(
            knee,
            thigh,
            (0.0, 0.0, -THIGH_M),
            Hinge("pitch", (-2.70, -0.60), 36.0, 0.010),
            (
                Solid("capsule", (0.014,), 0.14, ends_m=((0, 0, 0), (0, 0, -SHIN_M + 0.02)), rgba=DARK, touches=True),
                Solid("sphere", (FOOT_RADIUS_M,), 0.06, at_m=(0, 0, -SHIN_M), rgba=GLASS, touches=True, friction=1.0),
            ),
        ),
    ]


def links() -> list[Link]:
    """The whole table, base first."""
    trunk = Link(
        "trunk",
        "",
        (0.0, 0.0, 0.0),
        None,
        (
            Solid("box", (0.185, 0.068, 0.042), 4.4, touches=True),
            Solid("box", (0.150, 0.072, 0.030), 0.6, at_m=(0, 0, -0.018), rgba=DARK),
            Solid("box", (0.110, 0.050, 0.012), 0.3, at_m=(-0.02, 0, 0.048), rgba=ACCENT),
            Solid("capsule", (0.048,), 0.6, ends_m=((0.20, -0.022, 0.008), (0.20, 0.022, 0.008)), touches=True),
            Solid("box", (0.012, 0.045, 0.020), 0.1, at_m=(0.241, 0, 0.012), rgba=GLASS),
            Solid("capsule", (0.042,), 0.5, ends_m=((-0.19, -0.022, 0.0), (-0.19, 0.022, 0.0)), rgba=SHELL),
            Solid("cylinder", (0.030,), 0.2, ends_m=((0.12, 0, 0.045), (0.12, 0, 0.085)), rgba=GLASS),
        ),
    )
    left = _left_leg("front", 0.20) + _left_leg("rear", -0.20)
    return [trunk, *left[:3], *mirrored(left[:3]), *left[3:], *mirrored(left[3:])]


def quadruped() -> mujoco.MjSpec:
    """Generate the quadruped. Home: standing, feet under the hips."""
    home = {}
    for side in ("left", "right"):
        for end in ("front", "rear"):
            home[f"{side}_{end}_thigh"] = HOME_THIGH_RAD
            home[f"{side}_{end}_knee"] = HOME_KNEE_RAD
    height = THIGH_M * math.cos(HOME_THIGH_RAD) + SHIN_M * math.cos(HOME_THIGH_RAD + HOME_KNEE_RAD) + FOOT_RADIUS_M
    return build(
        "own_quadruped",
        links(),
        floating=True,
        home=home,
        base_height_m=round(height, 3),
        sites={"imu": ("trunk", (0.0, 0.0, 0.0))},
    )
