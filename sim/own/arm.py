"""Our arm: seven joints in the shoulder-elbow-wrist (3-1-3) arrangement, 0.9 m reach, 15 kg."""

import mujoco

from sim.own.table import ACCENT, DARK, STEEL, Hinge, Link, Solid, build

HOME = {"shoulder_pitch": 0.5, "elbow": 1.6, "wrist_pitch": 0.9}


def _joint(at: tuple[float, float, float], axis: str, radius_m: float, half_m: float) -> Solid:
    """The visible drum of a joint's drive."""
    i = ["roll", "pitch", "yaw"].index(axis)
    a, b = list(at), list(at)
    a[i] -= half_m
    b[i] += half_m
    return Solid("cylinder", (radius_m,), 0.6, ends_m=((a[0], a[1], a[2]), (b[0], b[1], b[2])), rgba=DARK)


def links() -> list[Link]:
    """The whole table, base first."""
    zero = (0.0, 0.0, 0.0)
    return [
        Link(
            "pedestal",
            "",
            zero,
            None,
            (
                Solid("cylinder", (0.10,), 3.0, ends_m=(zero, (0, 0, 0.03)), rgba=DARK, touches=True),
                Solid("cylinder", (0.075,), 2.0, ends_m=((0, 0, 0.03), (0, 0, 0.16)), touches=True),
            ),
        ),
        Link(
            "shoulder_yaw",
            "pedestal",
            (0, 0, 0.16),
            Hinge("yaw", (-2.9, 2.9), 90.0, 0.12, 1.0, 0.5),
            (
                Solid("cylinder", (0.070,), 1.6, ends_m=(zero, (0, 0, 0.10)), touches=True),
                Solid("cylinder", (0.074,), 0.2, ends_m=((0, 0, 0.0), (0, 0, 0.012)), rgba=ACCENT),
            ),
        ),
        Link(
            "shoulder_pitch",
            "shoulder_yaw",
            (0, 0, 0.14),
            Hinge("pitch", (-1.9, 1.9), 90.0, 0.12, 1.0, 0.5),
            (
                _joint(zero, "pitch", 0.066, 0.085),
                Solid("capsule", (0.058,), 1.8, ends_m=((0, 0, 0.02), (0, 0, 0.17)), touches=True),
            ),
        ),
        Link(
            "upper_arm_yaw",
            "shoulder_pitch",
            (0, 0, 0.20),
            Hinge("yaw", (-2.9, 2.9), 60.0, 0.10, 0.8, 0.4),
            (
                Solid("cylinder", (0.061,), 0.2, ends_m=((0, 0, -0.006), (0, 0, 0.006)), rgba=ACCENT),
                Solid("capsule", (0.054,), 1.4, ends_m=((0, 0, 0.02), (0, 0, 0.17)), touches=True),
            ),
        ),
        Link(
            "elbow",
            "upper_arm_yaw",
            (0, 0, 0.20),
            Hinge("pitch", (-0.2, 2.6), 60.0, 0.10, 0.8, 0.4),
            (
                _joint(zero, "pitch", 0.056, 0.075),
                Solid("capsule", (0.048,), 1.2, ends_m=((0, 0, 0.02), (0, 0, 0.16)), touches=True),
            ),
        ),
        Link(
            "forearm_yaw",
            "elbow",
            (0, 0, 0.18),
            Hinge("yaw", (-2.9, 2.9), 30.0, 0.05, 0.5, 0.3),
            (
                Solid("cylinder", (0.050,), 0.1, ends_m=((0, 0, -0.006), (0, 0, 0.006)), rgba=ACCENT),
                Solid("capsule", (0.043,), 0.9, ends_m=((0, 0, 0.02), (0, 0, 0.13)), touches=True),
            ),
        ),
        Link(
            "wrist_pitch",
            "forearm_yaw",
            (0, 0, 0.16),
            Hinge("pitch", (-1.9, 1.9), 20.0, 0.03, 0.4, 0.2),
            (
                _joint(zero, "pitch", 0.044, 0.058),
                Solid("capsule", (0.038,), 0.5, ends_m=((0, 0, 0.01), (0, 0, 0.05)), touches=True),
            ),
        ),
        Link(
            "wrist_yaw",
            "wrist_pitch",
            (0, 0, 0.09),
            Hinge("yaw", (-2.9, 2.9), 10.0, 0.02, 0.3, 0.1),
            (
                Solid("cylinder", (0.036,), 0.25, ends_m=(zero, (0, 0, 0.025)), rgba=STEEL),
                Solid("box", (0.018, 0.052, 0.014), 0.2, at_m=(0, 0, 0.038), rgba=DARK, touches=True),
                Solid("box", (0.012, 0.007, 0.028), 0.05, at_m=(0, 0.038, 0.078), rgba=STEEL, touches=True),
                Solid("box", (0.012, 0.007, 0.028), 0.05, at_m=(0, -0.038, 0.078), rgba=STEEL, touches=True),
            ),
        ),
    ]


def arm() -> mujoco.MjSpec:
    """Generate the arm. Home: elbow bent, hand in front of the pedestal pointing down."""
    return build(
        "own_arm",
        links(),
        floating=False,
        home=HOME,
        base_height_m=0.0,
        sites={"end_effector": ("wrist_yaw", (0.0, 0.0, 0.09))},
    )
