"""What the description of recordings must be, see `sim.vocabulary.recording`."""

from sim.check.schema import DIALECT, Schema, number, one_of, rows, table, text
from sim.vocabulary import BODIES
from sim.vocabulary.figure import LENGTHS, LONGEST_M


def schema() -> Schema:
    """Return the JSON Schema of `configs/recordings/*.toml`."""
    order = rows(text("a joint"), least=3)
    lengths = {name: number(0.0, LONGEST_M, "[m]") for name in LENGTHS}
    row = table(
        {"joint": text("the array, without q_"), "sign": {"enum": [1, -1]}, "zero_rad": number(-6.3, 6.3, "[rad]")},
        required=["joint"],
    )
    names = table({joint.name: row for body in BODIES.values() for joint in body})
    vocabulary = {"body": one_of(tuple(BODIES), "whose canonical joints"), "joints": names}
    whole = {
        "id": text("the file's name"),
        "body": one_of(tuple(BODIES), "whose it is"),
        "source": text("where the numbers come from"),
        "proportions": table({**lengths, "leg_order": order, "arm_order": order}, required=(*lengths, "leg_order")),
        "vocabulary": table(vocabulary, required=["body", "joints"]),
    }
    return {"$schema": DIALECT, "title": "Recordings of a body", **table(whole, required=tuple(whole))}
