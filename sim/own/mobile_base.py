"""Our mobile base: a flat platform with three driven degrees of freedom, 45 kg.

Its wheels are drawn and not simulated: the drive moves the platform along x, along y and about the vertical, as a base
on three or four omnidirectional wheels does on a flat floor. Slopes and stairs are not for it.
"""

import mujoco

from sim.own.table import ACCENT, DARK, GLASS, STEEL, Hinge, Link, Solid, build

HEIGHT_M = 0.30
REACH_M = 5.0
"""How far it goes from its place, each way."""


def links() -> list[Link]:
    """The whole table, base first."""
    wheels = tuple(
        Solid("cylinder", (0.075,), 1.5, ends_m=((x, y - 0.025, 0.077), (x, y + 0.025, 0.077)), rgba=DARK)
        for x in (-0.22, 0.22)
        for y in (-0.17, 0.17)
    )
    carriage = Solid("box", (0.05, 0.05, 0.02), 0.5, at_m=(0, 0, 0.10), rgba=DARK)
    return [
        Link("place", "", (0.0, 0.0, 0.0), None, (Solid("cylinder", (0.02,), 0.1, ends_m=((0, 0, 0), (0, 0, 0.005))),)),
        Link("base_x", "place", (0.0, 0.0, 0.0), Hinge("forward", (-REACH_M, REACH_M), 400.0, 4.0, 20.0), (carriage,)),
        Link("base_y", "base_x", (0.0, 0.0, 0.0), Hinge("left", (-REACH_M, REACH_M), 400.0, 4.0, 20.0), (carriage,)),
        Link(
            "base_yaw",
            "base_y",
            (0.0, 0.0, 0.0),
            Hinge("yaw", (-6.28, 6.28), 120.0, 0.5, 4.0),
            (
                *wheels,
                Solid("box", (0.32, 0.22, 0.065), 26.0, at_m=(0, 0, 0.15), touches=True),
                Solid("box", (0.30, 0.20, 0.030), 9.0, at_m=(0, 0, 0.245), rgba=STEEL, touches=True),
                Solid("box", (0.31, 0.21, 0.012), 2.0, at_m=(0, 0, HEIGHT_M - 0.012), rgba=DARK),
                Solid("box", (0.006, 0.16, 0.012), 0.2, at_m=(0.322, 0, 0.20), rgba=ACCENT),
                Solid("cylinder", (0.045,), 0.7, ends_m=((0.26, 0, HEIGHT_M), (0.26, 0, HEIGHT_M + 0.06)), rgba=GLASS),
            ),
        ),
    ]


def mobile_base() -> mujoco.MjSpec:
    """Generate the base. Home: at its place, looking along x."""
    return build(
        "own_mobile_base",
        links(),
        floating=False,
        home={},
        base_height_m=0.0,
        sites={"imu": ("base_yaw", (0.0, 0.0, 0.15)), "deck": ("base_yaw", (0.0, 0.0, HEIGHT_M))},
    )
