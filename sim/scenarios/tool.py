"""End effectors of scenarios: what is screwed to an arm's flange or hand, and where its tip is.

Words as in `names`. A cup is a vacuum gripper: MuJoCo's adhesion pulls at what it touches with at most `CUP_N`, so
heavy or tilted things come off.
"""

import mujoco

from sim.catalog import Entry
from sim.errors import Misfit

TOOLS = ("finger", "cup", "pad", "peg", "camera")
TIP = "scenario_tip"
"""The site at the tip; its z axis points the way the tool points."""
BODY = "scenario_tool"
CUP = "scenario_cup"
TIP_M = 0.012
LENGTH_M = 0.13
"""From the flange to the tip."""
PEG_HALF_M = 0.010
CUP_N = 30.0
PAD_HALF_M = 0.025
_STEEL = (0.35, 0.37, 0.40, 1.0)


def flange(spec: mujoco.MjSpec, entry: Entry) -> mujoco.MjsSite:
    """Return the frame that tools are mounted to. Raises Misfit where the robot has none."""
    site = spec.site(entry.end_effector or "right_hand")
    if site is None:
        raise Misfit(f"robot {entry.id!r} has neither an end effector's site nor a right hand to mount a tool to")
    return site


def mount(spec: mujoco.MjSpec, entry: Entry, kind: str) -> None:
    """Mount a tool of `TOOLS`. Raises Misfit."""
    site = flange(spec, entry)
    # Hands hang down at zero: their frame's z looks back up the arm.
    backwards = site.pos[2] < 0
    frame = site.parent.add_body(name=f"{BODY}.flange", pos=site.pos, quat=site.quat)
    body = frame.add_body(name=BODY, quat=(0, 1, 0, 0) if backwards else (1, 0, 0, 0))
    tip = LENGTH_M
    common = {"contype": 1, "conaffinity": 1, "condim": 4, "friction": (0.9, 0.02, 0.001), "group": 0}
    cylinder, box, sphere = (getattr(mujoco.mjtGeom, f"mjGEOM_{n}") for n in ("CYLINDER", "BOX", "SPHERE"))
    body.add_geom(type=cylinder, size=(0.010, 0.5 * (tip - 0.03), 0), pos=(0, 0, 0.5 * (tip - 0.03)), mass=0.06,
                  rgba=_STEEL, **{**common, "friction": (0.3, 0.02, 0.001)})  # fmt: skip
    if kind == "finger":
        body.add_geom(type=cylinder, size=(0.007, 0.018, 0), pos=(0, 0, tip - 0.03), mass=0.01, rgba=_STEEL, **common)
        body.add_geom(type=sphere, size=(TIP_M, 0, 0), pos=(0, 0, tip), mass=0.01, rgba=(0.05, 0.47, 0.66, 1), **common)
    elif kind == "cup":
        cup = body.add_body(name=CUP, pos=(0, 0, tip - 0.015))
        cup.add_geom(type=cylinder, size=(0.020, 0.015, 0), mass=0.03, rgba=(0.10, 0.10, 0.12, 1), margin=0.002,
                     gap=0.002, solref=(0.01, 1.0), **{**common, "friction": (1.2, 0.05, 0.01)})  # fmt: skip
        suck = spec.add_actuator(name=CUP, trntype=mujoco.mjtTrn.mjTRN_BODY, target=CUP)
        suck.set_to_adhesion(CUP_N)
        suck.ctrlrange, suck.ctrllimited = (0.0, 1.0), mujoco.mjtLimited.mjLIMITED_TRUE
    elif kind == "pad":
        body.add_geom(type=box, size=(PAD_HALF_M, PAD_HALF_M, 0.012), pos=(0, 0, tip - 0.012), mass=0.05,
                      rgba=(0.25, 0.60, 0.36, 1), solref=(0.02, 1.0), priority=1,
                      **{**common, "friction": (0.3, 0.02, 0.001)})  # fmt: skip
    elif kind == "peg":
        # Of two shapes the larger friction counts, but for a priority: a felt pad and a polished peg bring their own.
        grip = {**common, "friction": (0.15, 0.01, 0.001), "priority": 1}
        body.add_geom(type=box, size=(PEG_HALF_M, PEG_HALF_M, 0.02), pos=(0, 0, tip - 0.026), mass=0.05,
                      rgba=(0.95, 0.72, 0.12, 1), **grip)  # fmt: skip
        # A rounded nose finds the hole.
        body.add_geom(
            type=sphere, size=(PEG_HALF_M - 0.001, 0, 0), pos=(0, 0, tip - 0.009), mass=0.01, rgba=_STEEL, **grip
        )
    else:
        body.add_geom(type=box, size=(0.02, 0.014, 0.014), pos=(0, 0, tip - 0.014), mass=0.05,
                      rgba=(0.05, 0.07, 0.09, 1), **common)  # fmt: skip
    body.add_site(name=TIP, pos=(0, 0, tip), size=(0.004, 0.004, 0.004), group=4)
