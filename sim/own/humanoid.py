"""Our humanoid: 29 joints (legs 6, waist 3, arms 7), 1.35 m tall, 39 kg."""

import math

import mujoco

from sim.own.table import ACCENT, DARK, GLASS, STEEL, Hinge, Link, Solid, build, mirrored

THIGH_M = 0.30
SHIN_M = 0.30
SOLE_M = 0.055
HOME_HIP_RAD = -0.30
HOME_KNEE_RAD = 0.60


def _left_leg() -> list[Link]:
    return [
        Link(
            "left_hip_pitch",
            "pelvis",
            (0.0, 0.075, -0.06),
            Hinge("pitch", (-2.4, 1.6), 100.0, 0.02, 0.5),
            (Solid("cylinder", (0.052,), 1.2, ends_m=((0, -0.02, 0), (0, 0.045, 0)), rgba=DARK),),
        ),
        Link(
            "left_hip_roll",
            "left_hip_pitch",
            (0.0, 0.03, -0.03),
            Hinge("roll", (-0.5, 1.6), 120.0, 0.025, 0.5),
            (Solid("cylinder", (0.048,), 1.3, ends_m=((-0.05, 0, 0), (0.05, 0, 0)), rgba=STEEL),),
        ),
        Link(
            "left_hip_yaw",
            "left_hip_roll",
            (0.0, 0.0, -0.05),
            Hinge("yaw", (-1.2, 1.2), 80.0, 0.02, 0.5),
            (
                Solid("capsule", (0.058,), 2.3, ends_m=((0, 0, -0.05), (0, 0, -THIGH_M + 0.10)), touches=True),
                Solid("box", (0.014, 0.034, 0.055), 0.2, at_m=(0.05, 0, -0.12), rgba=ACCENT),
            ),
        ),
        Link(
            "left_knee",
            "left_hip_yaw",
            (0.0, 0.0, -THIGH_M + 0.05),
            Hinge("pitch", (0.0, 2.5), 140.0, 0.025, 0.5),
            (
                Solid("cylinder", (0.050,), 0.6, ends_m=((0, -0.05, 0), (0, 0.05, 0)), rgba=DARK),
                Solid("capsule", (0.046,), 1.7, ends_m=((0, 0, -0.07), (0, 0, -SHIN_M + 0.08)), touches=True),
            ),
        ),
        Link(
            "left_ankle_pitch",
            "left_knee",
            (0.0, 0.0, -SHIN_M),
            Hinge("pitch", (-0.9, 0.6), 60.0, 0.012, 0.3),
            (Solid("sphere", (0.034,), 0.25, rgba=DARK),),
        ),
        Link(
            "left_ankle_roll",
            "left_ankle_pitch",
            (0.0, 0.0, 0.0),
            Hinge("roll", (-0.35, 0.35), 50.0, 0.012, 0.3),
            (
                Solid(
                    "box", (0.105, 0.042, 0.0125), 0.55, at_m=(0.035, 0, -SOLE_M + 0.0125), rgba=GLASS,
                    touches=True, friction=1.0,
                ),
                Solid("ellipsoid", (0.085, 0.038, 0.032), 0.25, at_m=(0.03, 0, -0.025)),
            ),
        ),
    ]  # fmt: skip


def _left_arm() -> list[Link]:
    return [
        Link(
            "left_shoulder_pitch",
            "waist_pitch",
            (0.0, 0.135, 0.28),
            Hinge("pitch", (-3.0, 2.4), 30.0, 0.01, 0.3),
            (Solid("cylinder", (0.045,), 0.55, ends_m=((0, -0.03, 0), (0, 0.035, 0)), rgba=DARK),),
        ),
        Link(
            "left_shoulder_roll",
            "left_shoulder_pitch",
            (0.0, 0.065, 0.0),
            Hinge("roll", (-0.4, 2.4), 30.0, 0.01, 0.3),
            (Solid("sphere", (0.050,), 0.5, at_m=(0, 0, -0.005)),),
        ),
        Link(
            "left_shoulder_yaw",
            "left_shoulder_roll",
            (0.0, 0.0, -0.06),
            Hinge("yaw", (-2.2, 2.2), 25.0, 0.008, 0.3),
            (
                Solid("capsule", (0.038,), 0.85, ends_m=((0, 0, -0.01), (0, 0, -0.11)), touches=True),
                Solid("cylinder", (0.040,), 0.1, ends_m=((0, 0, -0.055), (0, 0, -0.065)), rgba=ACCENT),
            ),
        ),
        Link(
            "left_elbow",
            "left_shoulder_yaw",
            (0.0, 0.0, -0.16),
            Hinge("pitch", (-2.2, 0.2), 25.0, 0.008, 0.3),
            (
                Solid("cylinder", (0.036,), 0.25, ends_m=((0, -0.036, 0), (0, 0.036, 0)), rgba=DARK),
                Solid("capsule", (0.033,), 0.55, ends_m=((0, 0, -0.04), (0, 0, -0.12)), touches=True),
            ),
        ),
        Link(
            "left_wrist_yaw",
            "left_elbow",
            (0.0, 0.0, -0.15),
            Hinge("yaw", (-2.0, 2.0), 10.0, 0.004, 0.15),
            (Solid("cylinder", (0.029,), 0.25, ends_m=((0, 0, 0.0), (0, 0, -0.04)), rgba=STEEL),),
        ),
        Link(
            "left_wrist_pitch",
            "left_wrist_yaw",
            (0.0, 0.0, -0.055),
            Hinge("pitch", (-1.4, 1.4), 6.0, 0.004, 0.15),
            (Solid("sphere", (0.027,), 0.15, rgba=DARK),),
        ),
        Link(
            "left_wrist_roll",
            "left_wrist_pitch",
            (0.0, 0.0, 0.0),
            Hinge("roll", (-1.2, 1.2), 6.0, 0.004, 0.15),
            (
                Solid("box", (0.034, 0.015, 0.042), 0.28, at_m=(0, 0, -0.058), rgba=DARK, touches=True),
                Solid("capsule", (0.010,), 0.04, ends_m=((0.022, 0, -0.10), (0.022, 0, -0.145)), rgba=STEEL),
                Solid("capsule", (0.010,), 0.04, ends_m=((0.000, 0, -0.10), (0.000, 0, -0.150)), rgba=STEEL),
                Solid("capsule", (0.010,), 0.04, ends_m=((-0.022, 0, -0.10), (-0.022, 0, -0.140)), rgba=STEEL),
                Solid("capsule", (0.010,), 0.04, ends_m=((0.036, 0, -0.04), (0.058, 0, -0.075)), rgba=STEEL),
            ),
        ),
    ]


def links() -> list[Link]:
    """The whole table, base first: pelvis, legs, waist and torso with the head, arms."""
    pelvis = Link(
        "pelvis",
        "",
        (0.0, 0.0, 0.0),
        None,
        (
            Solid("box", (0.065, 0.080, 0.045), 2.6, at_m=(0, 0, -0.03), rgba=DARK, touches=True),
            Solid("ellipsoid", (0.085, 0.105, 0.055), 1.0, at_m=(0, 0, -0.015)),
        ),
    )
    waist = [
        Link(
            "waist_yaw",
            "pelvis",
            (0.0, 0.0, 0.04),
            Hinge("yaw", (-2.4, 2.4), 80.0, 0.02, 0.5),
            (Solid("cylinder", (0.062,), 0.7, ends_m=((0, 0, -0.01), (0, 0, 0.03)), rgba=DARK),),
        ),
        Link(
            "waist_roll",
            "waist_yaw",
            (0.0, 0.0, 0.04),
            Hinge("roll", (-0.5, 0.5), 60.0, 0.02, 0.5),
            (Solid("cylinder", (0.050,), 0.5, ends_m=((-0.045, 0, 0), (0.045, 0, 0)), rgba=STEEL),),
        ),
        Link(
            "waist_pitch",
            "waist_roll",
            (0.0, 0.0, 0.0),
            Hinge("pitch", (-0.5, 0.6), 60.0, 0.02, 0.5),
            (
                Solid("box", (0.070, 0.095, 0.095), 5.4, at_m=(0, 0, 0.20), touches=True),
                Solid("ellipsoid", (0.098, 0.128, 0.140), 1.6, at_m=(0, 0, 0.205)),
                Solid("ellipsoid", (0.075, 0.085, 0.075), 0.6, at_m=(0, 0, 0.075), rgba=DARK),
                Solid("box", (0.008, 0.040, 0.045), 0.1, at_m=(0.092, 0, 0.225), rgba=ACCENT),
                Solid("box", (0.035, 0.090, 0.110), 0.9, at_m=(-0.085, 0, 0.205), rgba=DARK),
                Solid("cylinder", (0.032,), 0.2, ends_m=((0, 0, 0.33), (0, 0, 0.38)), rgba=DARK),
                Solid("ellipsoid", (0.078, 0.068, 0.092), 1.0, at_m=(0.01, 0, 0.455), touches=True),
                Solid("ellipsoid", (0.060, 0.058, 0.058), 0.2, at_m=(0.036, 0, 0.465), rgba=GLASS),
                Solid("cylinder", (0.024,), 0.1, ends_m=((0, -0.072, 0.45), (0, 0.072, 0.45)), rgba=ACCENT),
            ),
        ),
    ]
    leg, arm = _left_leg(), _left_arm()
    return [pelvis, *leg, *mirrored(leg), *waist, *arm, *mirrored(arm)]


def humanoid() -> mujoco.MjSpec:
    """Generate the humanoid. Home: standing with bent knees, soles flat, arms slightly out."""
    home = {"left_shoulder_roll": 0.18, "right_shoulder_roll": -0.18}
    for side in ("left", "right"):
        home[f"{side}_hip_pitch"] = HOME_HIP_RAD
        home[f"{side}_knee"] = HOME_KNEE_RAD
        home[f"{side}_ankle_pitch"] = -HOME_HIP_RAD - HOME_KNEE_RAD
        home[f"{side}_shoulder_pitch"] = 0.15
        home[f"{side}_elbow"] = -0.7
    # Soles flat on the ground: the chain from the hip axis down, at the home angles.
    upper = (0.03 + 0.05 + THIGH_M - 0.05) * math.cos(HOME_HIP_RAD)
    height = 0.06 + upper + SHIN_M * math.cos(HOME_HIP_RAD + HOME_KNEE_RAD) + SOLE_M
    return build(
        "own_humanoid",
        links(),
        floating=True,
        home=home,
        base_height_m=round(height, 3),
        sites={"imu": ("pelvis", (0.0, 0.0, 0.0)), "left_hand": ("left_wrist_roll", (0, 0, -0.1)),
               "right_hand": ("right_wrist_roll", (0, 0, -0.1))},
    )  # fmt: skip
