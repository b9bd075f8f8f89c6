"""What a motion's file must be, see `sim.motion`."""

from sim.catalog import ROBOT_CLASSES
from sim.check.schema import DIALECT, Schema, number, one_of, rows, table, text
from sim.motion import PARTS
from sim.vocabulary import BODIES


def schema() -> Schema:
    """Return the JSON Schema of `configs/motions/*.toml`."""
    wave = {
        "part": one_of(tuple(PARTS), "a part of the body"),
        "match": rows(text("a pattern of joint names"), least=1),
        "joints": rows(one_of(tuple({j.name: 0 for body in BODIES.values() for j in body}), "canonical"), least=1),
        "side": one_of(("left", "right"), "only that side"),
        "amplitude_rad": number(-6.3, 6.3, "[rad]"),
        "frequency_hz": number(0.0, 10.0, "[Hz]"),
        "phase_cycles": number(-1.0, 1.0, "[cycles]"),
        "offset_rad": number(-6.3, 6.3, "[rad]"),
        "mirrored": {"type": "boolean", "description": "opposite sign on the right side"},
    }
    whole = {
        "name": text("the file's name"),
        "title": text("what it is, for people"),
        "robot_classes": rows(one_of(ROBOT_CLASSES, "whom it suits"), least=1),
        "kind": one_of(("waves", "trot"), "how it is described"),
        "waves": rows(table(wave, required=["amplitude_rad", "frequency_hz"])),
        "step_hz": number(0.05, 10.0, "[Hz]"),
        "lift_share": number(0.0, 0.5, "of the standing height"),
    }
    needed = ("name", "title", "robot_classes", "kind")
    return {"$schema": DIALECT, "title": "A Palaestra motion", **table(whole, required=needed)}
