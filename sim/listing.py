"""What the catalogue says, as tables for people and as JSON for programs."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from controller.spec import JointSpec
from sim.catalog import Entry, find, robots
from sim.errors import SimError
from sim.resolve import folder_sha256
from sim.vocabulary.mapping import joint_map


def list_robots(menagerie_root: Path | None, *, as_json: bool) -> None:
    """Print all robots, those whose model is not on this machine too."""
    summaries = [_summary(entry) for entry in robots(menagerie_root)]
    if as_json:
        print(json.dumps({"robots": summaries}, indent=2))
        return
    rows = [("id", "maker", "name", "class", "joints", "licence", "model")]
    for one in summaries:
        missing = f"missing: pip install {one['install']}"
        model = one["model"] or (missing if not one["broken"] else f"broken: {one['broken']}")
        joints = str(one["joint_count"] or "-")
        rows.append((one["id"], one["maker"], one["name"], one["robot_class"], joints, one["licence"], model))
    print_table(rows)
    there = [one for one in summaries if one["joint_count"]]
    makers = len({one["maker"] for one in there})
    print(f"{len(there)} of {len(summaries)} robots load here, of {makers} makers")
    for one in summaries:
        if one["disagreement_count"]:
            print(f"{one['id']}: sources disagree on {one['disagreement_count']} numbers; robots show {one['id']}")


def show_robot(robot: str, menagerie_root: Path | None, *, picture: Path | None, as_json: bool) -> None:
    """Print one robot with every number's source, and draw it if a file is named.

    Raises UnknownRobot, MissingModel, BrokenModel, BrokenCatalogue; NoDisplay for the picture.
    """
    entry = find(robot, menagerie_root)
    if as_json:
        print(json.dumps(_whole(entry), indent=2))
    else:
        _print_whole(entry)
    if picture is not None:
        from sim.picture import picture as draw

        draw(robot, picture, menagerie_root=menagerie_root)
        if not as_json:
            print(f"picture  {picture}")


def print_table(rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows of equal length in columns, the first one being the head."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _summary(entry: Entry) -> dict[str, Any]:
    summary: dict[str, Any] = {
        "id": entry.id,
        "maker": entry.maker,
        "name": entry.name,
        "robot_class": entry.robot_class,
        "licence": entry.licence,
        "package": entry.package,
        "install": entry.install(),
        "model": "",
        "broken": "",
        "joint_count": 0,
        "disagreement_count": 0,
    }
    if entry.available():
        try:
            summary["joint_count"] = len(entry.joint_names())
            summary["disagreement_count"] = len(entry.disagreements())
            summary["model"] = entry.provenance()
        except SimError as error:
            # One broken model must not hide the others.
            summary["broken"] = str(error)
    return summary


def _whole(entry: Entry) -> dict[str, Any]:
    folder = entry.model_folder()
    found = folder_sha256(folder) if folder is not None else ""
    return {
        **_summary(entry),
        "mass_kg": entry.mass_kg(),
        "payload_kg": entry.payload_kg,
        "end_effector": entry.end_effector,
        "files_sha256": found,
        "files_as_recorded": found == entry.files_sha256,
        "model_sha256": entry.model_sha256(),
        "battery": {**asdict(entry.battery), "source": entry.battery_source} if entry.battery else None,
        "joints": [_joint(joint) for joint in entry.robot_spec().joints],
        "canonical": _canonical_names(entry),
        "disagreements": [asdict(differs) for differs in entry.disagreements()],
    }


def _joint(joint: JointSpec) -> dict[str, Any]:
    numbers = {name: {"value": value, "source": source} for name, value, source in _numbers(joint)}
    return {"name": joint.name, "numbers": numbers}


def _numbers(joint: JointSpec) -> Iterator[tuple[str, float, str]]:
    for each in fields(joint):
        value = getattr(joint, each.name)
        if each.name not in ("name", "sources") and value is not None:
            yield each.name, value, joint.source(each.name) or "-"


def _print_whole(entry: Entry) -> None:
    whole = _whole(entry)
    print(f"{entry.id}: {entry.maker} {entry.name}, {entry.robot_class}, {whole['joint_count']} joints")
    print(f"model    {whole['model']}, licence {entry.licence}")
    if entry.files_sha256:
        same = "as recorded" if whole["files_as_recorded"] else f"recorded was {entry.files_sha256}"
        print(f"files    sha256 {whole['files_sha256']} ({same})")
    print(f"compiled sha256 {whole['model_sha256']}")
    payload = f", payload {entry.payload_kg:g} kg" if entry.payload_kg else ""
    print(f"mass     {whole['mass_kg']:.4g} kg{payload}")
    if whole["battery"]:
        battery = dict(whole["battery"])
        source = battery.pop("source")
        print("battery  " + ", ".join(f"{key} {value:g}" for key, value in battery.items()) + f" ({source})")
    print()
    head = ("joint", "range rad (slides: m)", "torque N m (N)", "speed rad/s (m/s)", "canonical")
    print_table([head, *_joint_rows(entry)])
    print()
    by_source: dict[str, list[str]] = {}
    for joint in entry.robot_spec().joints:
        for name, _, source in _numbers(joint):
            names = by_source.setdefault(source, [])
            if name not in names:
                names.append(name)
    for source, names in by_source.items():
        print(f"{', '.join(names)}: {source}")
    for differs in entry.disagreements():
        print(
            f"sources disagree: {differs.joint or 'whole robot'} {differs.quantity} = {differs.value:.6g} "
            f"({differs.source}), but {differs.other:.6g} ({differs.other_source})"
        )


def _canonical_names(entry: Entry) -> dict[str, str]:
    """What each joint is called in the one vocabulary, with a minus where it counts the other way."""
    if not entry.vocabulary:
        return {}
    names = joint_map(entry)
    return {
        names.joint_names[names.index[i]]: f"{'-' if names.sign[i] < 0 else ''}{name}"
        + (f" from {names.zero_rad[i]:.4f}" if names.zero_rad[i] else "")
        for i, name in enumerate(names.names)
        if names.mask[i]
    }


def _joint_rows(entry: Entry) -> Iterator[tuple[str, ...]]:
    canonical = _canonical_names(entry)
    for joint in entry.robot_spec().joints:
        yield (
            joint.name,
            f"{joint.q_min_rad:8.4f} to {joint.q_max_rad:.4f}",
            f"{joint.tau_max_nm:g}",
            f"{joint.dq_max_rad_s:g}",
            canonical.get(joint.name, "-"),
        )
