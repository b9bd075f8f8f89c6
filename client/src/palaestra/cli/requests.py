"""Requests for units as people type them: `2-8*class=arm,sensor=depth_camera`."""

from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from palaestra.v1.claim_pb2 import UnitRequest

# What is typed to argument of `jobs.unit`.
_TEXTS = {
    "class": "robot_class", "maker": "maker", "model": "robot_model", "name": "name", "effector": "end_effector",
    "firmware": "firmware",
}  # fmt: skip
_LABEL = "label."
_KEYS = (*_TEXTS, "joints", "payload_kg", "sensor", "label.KEY")


def unit(text: str) -> "UnitRequest":
    """Return the units asked for in words such as "2*class=arm,maker=Unitree" or "2-8*model=own_arm,label.lab=b"."""
    from palaestra import jobs

    number, star, rest = text.partition("*")
    if not star:
        number, rest = "1", text
    least, _, most = (part.strip() for part in number.partition("-"))
    counts = [least, most] if "-" in number else [least]
    if not all(count.isdecimal() and int(count) >= 1 for count in counts):
        raise typer.BadParameter(f"--unit {text!r}: {number!r} is not a number of units")
    wanted: dict[str, Any] = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals:
            raise typer.BadParameter(f"--unit {text!r}: {part!r} is not KEY=VALUE with a key of {', '.join(_KEYS)}")
        _set(wanted, key, value, text)
    return jobs.unit(**wanted, count=int(least), count_max=int(most or 0))


def _set(wanted: dict[str, Any], key: str, value: str, text: str) -> None:
    """Enter one KEY=VALUE among the arguments of `jobs.unit`."""
    if key == "sensor":
        wanted.setdefault("sensors", []).append(value)
    elif key.startswith(_LABEL) and key != _LABEL:
        labels = wanted.setdefault("labels", {})
        if key.removeprefix(_LABEL) in labels:
            raise typer.BadParameter(f"--unit {text!r}: {key} is given twice")
        labels[key.removeprefix(_LABEL)] = value
    else:
        try:
            name, typed = _typed(key, value)
        except ValueError:
            raise typer.BadParameter(f"--unit {text!r}: {key} {value!r} is not a number") from None
        except KeyError:
            raise typer.BadParameter(f"--unit {text!r}: {key!r} is no key of {', '.join(_KEYS)}") from None
        if name in wanted:
            raise typer.BadParameter(f"--unit {text!r}: {key} is given twice")
        wanted[name] = typed


def _typed(key: str, value: str) -> tuple[str, Any]:
    if key == "joints":
        return "joint_count_min", int(value)
    if key == "payload_kg":
        return "payload_min_kg", float(value)
    return _TEXTS[key], value
