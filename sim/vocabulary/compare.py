"""`python -m sim paths`: the same walk by several bodies, through the one vocabulary, as numbers and a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sim.catalog import find
from sim.errors import BrokenRecording
from sim.listing import print_table
from sim.vocabulary.figure import Figure
from sim.vocabulary.paths import robot_points, same_up_to_scale
from sim.vocabulary.recording import find_format, read_recording

Array = npt.NDArray[np.float64]
Points = Mapping[str, Array]

ENDS = ("left_foot", "right_foot", "left_hand", "right_hand")


def recorded_points(recordings: Sequence[tuple[str, Path]], frames: int) -> tuple[dict[str, Points], Array]:
    """Return by format where each recorded body's ends go, and the canonical angles (T, N) of the last recording.

    Raises BrokenCatalogue, BrokenRecording.
    """
    points: dict[str, Points] = {}
    canonical = np.zeros((0, 0))
    for name, path in recordings:
        form = find_format(name)
        canonical = read_recording(path, form)[:frames]
        points[name] = Figure(form.proportions).points(canonical)
    return points, canonical


def compare(
    recordings: Sequence[tuple[str, Path]],
    robots: Sequence[str],
    *,
    frames: int,
    picture: Path | None,
    menagerie_root: Path | None,
) -> None:
    """Print how far each body's paths are those of the first, up to scale; the last recording moves the robots.

    Raises as `recorded_points` and `robot_points`.
    """
    points, canonical = recorded_points(recordings, frames)
    if not points:
        raise BrokenRecording("name at least one recording, as FORMAT=FILE")
    bodies: dict[str, dict[str, Points]] = {"recorded": points}
    if robots:
        bodies["catalogue"] = {robot: robot_points(find(robot, menagerie_root), canonical) for robot in robots}
    rows = [("BODY", *(f"{end}: scale, residual" for end in ENDS))]
    for found in bodies.values():
        first = next(iter(found.values()))
        rows += [(name, *(_cell(points, first, end) for end in ENDS)) for name, points in found.items()]
    print_table(rows)
    if picture is not None:
        draw(bodies, picture)
        print(picture)


def _cell(points: Points, first: Points, end: str) -> str:
    if end not in points or end not in first:
        return "-"
    scale, residual = same_up_to_scale(points[end], first[end])
    return f"{scale:.3f}, {residual:.3f}"


def draw(bodies: Mapping[str, Mapping[str, Points]], out: Path) -> None:
    """Draw the paths of the left foot and hand from the side, raw and brought to one scale."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Sheet

    columns = [(end, scaled) for end in ("left_foot", "left_hand") for scaled in (False, True)]
    sheet = Sheet(figsize=(13.0, 3.4 * len(bodies)), layout="constrained")
    FigureCanvasAgg(sheet)
    axes = sheet.subplots(len(bodies), len(columns), squeeze=False)
    for row, (title, found) in zip(axes, bodies.items(), strict=True):
        for axis, (end, scaled) in zip(row, columns, strict=True):
            first = next(points[end] for points in found.values() if end in points)
            for name, points in found.items():
                if end not in points:
                    continue
                path = points[end] - points[end].mean(axis=0)
                if scaled:
                    path = path / same_up_to_scale(points[end], first)[0]
                axis.plot(path[:, 0], path[:, 2], linewidth=1.0, label=name)
            axis.set_title(f"{title}: {end.replace('_', ' ')}{', one scale' if scaled else ''}", fontsize=9)
            axis.set_xlabel("forward (m)", fontsize=8)
            axis.set_ylabel("up (m)", fontsize=8)
            axis.tick_params(labelsize=7)
            axis.set_aspect("equal", adjustable="datalim")
        row[0].legend(fontsize=7)
    sheet.savefig(out, dpi=110)
