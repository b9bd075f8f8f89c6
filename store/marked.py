"""A picture of an episode for whoever reviews it: its signals with the faults marked, and its cameras' frames.

One panel for each signal of the joints, all columns in it, the ones with findings in colour; a strip below tells what
kind of fault is where. A contact sheet of each camera follows, where there is video.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from store.episode import ACTION, EFFORT, STATE, TIME, VELOCITY
from store.errors import VideoUnavailable
from store.plot import fonts, thin
from store.quality.finding import Finding
from store.quality.score import Quality
from store.reader import Episode, read_camera

FRAMES = 6
"""Frames of a contact sheet, evenly spaced."""
SIDE_PX = 320
"""Widest side of a drawn frame: larger ones are thinned to every n-th pixel."""
MARKS_MAX = 400
"""Findings that are drawn; what is beyond is counted in the title."""
PANELS = (STATE, ACTION, VELOCITY, EFFORT)
_COLOURS = (
    *("#c0392b", "#e07b00", "#8e44ad", "#0b5fa5", "#1e8449", "#b7950b", "#117a65"),
    *("#a04000", "#5b2c6f", "#212f3d", "#d81b60", "#00838f", "#6d4c41", "#3949ab"),
)


def contact_sheet(file: Path, camera: str, frames: int = FRAMES) -> np.ndarray | None:
    """Return evenly spaced frames of a camera side by side, uint8, (height, width, 3); None where none is decodable.

    Raises BrokenEpisode. Frames are decoded one at a time; only those that are shown stay.
    """
    found = read_camera(file, camera)
    if not found.packets:
        return None
    chosen = set(np.linspace(0, len(found.packets) - 1, min(frames, len(found.packets))).astype(int).tolist())
    step = max(1, math.ceil(max(found.stream.width_px, found.stream.height_px) / SIDE_PX))
    try:
        strip = [_visible(frame[::step, ::step]) for number, frame in enumerate(found.frames()) if number in chosen]
    except VideoUnavailable:
        return None
    return np.concatenate(strip, axis=1) if strip else None


def _visible(frame: np.ndarray) -> np.ndarray:
    """Return colours as they are, depths [m] as greys: near is light, unseen is black."""
    if frame.ndim == 3:
        return frame
    near = np.where(frame > 0.0, 1.0 / (1.0 + frame), 0.0)
    return np.repeat((255 * near).astype(np.uint8)[..., None], 3, axis=2)


def draw_marked(episode: Episode, quality: Quality, out: Path, *, file: Path | None = None) -> None:
    """Draw an episode with what the rules found; the suffix of `out` chooses the format, e.g. `.png`.

    file: The sealed file, for the frames of its cameras; None draws none.

    Raises BrokenEpisode where a camera's packets are none.
    """
    # Drawing is rare and matplotlib is slow to import.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # One that is zero throughout was not measured.
    shown = [name for name in PANELS if name in episode.signals and episode.signals[name].any()]
    shown += [name for name in episode.signals if name not in PANELS][: 6 - len(shown)]
    sheets = []
    for camera in sorted(episode.header.cameras) if file is not None else ():
        assert file is not None
        sheet = contact_sheet(file, camera)
        if sheet is not None:
            sheets.append((camera, sheet))
    kinds = sorted({finding.kind for finding in quality.findings})
    colours = {kind: _COLOURS[number % len(_COLOURS)] for number, kind in enumerate(kinds)}
    heights = [*(1.5 for _ in shown), 0.3 + 0.22 * max(1, len(kinds)), *(1.6 for _ in sheets)]
    height_in = sum(heights) + 0.35 * len(heights) + 1.2
    with fonts():
        figure = Figure(figsize=(11.0, height_in))
        FigureCanvasAgg(figure)
        grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
        figure.subplots_adjust(left=0.11, right=0.985, top=1 - 0.85 / height_in, bottom=0.5 / height_in, hspace=0.22)
        first: Any = None
        for number, name in enumerate(shown):
            panel = figure.add_subplot(grid[number, 0], sharex=first)
            first = first if first is not None else panel
            _draw_signal(panel, episode, name, quality.findings[:MARKS_MAX], colours)
        strip = figure.add_subplot(grid[len(shown), 0], sharex=first)
        _draw_strip(strip, quality.findings[:MARKS_MAX], kinds, colours)
        start_s, end_s = float(episode.time_s.min()), float(episode.time_s.max())
        strip.set_xlim(start_s, end_s if end_s > start_s else start_s + 1.0)
        for number, (camera, sheet) in enumerate(sheets, len(shown) + 1):
            panel = figure.add_subplot(grid[number, 0])
            panel.imshow(sheet, aspect="equal")
            panel.set_axis_off()
            panel.set_title(f"camera {camera}", fontsize=8, loc="left", pad=2)
        figure.suptitle(_title(episode, quality), fontsize=10, x=0.11, ha="left")
        figure.savefig(out, dpi=100)


def _draw_signal(panel: Any, episode: Episode, name: str, findings: Sequence[Finding], colours: dict[str, str]) -> None:
    values, time_s = episode.signals[name], episode.time_s
    marked = [finding for finding in findings if finding.signal in (name, "", TIME)]
    bad = {finding.column: finding.kind for finding in marked if finding.column is not None}
    for column in range(values.shape[1]):
        line = values[:, column]
        kept = thin(np.nan_to_num(line))
        colour, width = (colours[bad[column]], 1.2) if column in bad else ("#9aa5ad", 0.6)
        panel.plot(time_s[kept], line[kept], color=colour, linewidth=width, zorder=3 if column in bad else 2)
    for kind in sorted({finding.kind for finding in marked}):
        spans = [(one.start_s, one.end_s - one.start_s) for one in marked if one.kind == kind]
        # One collection each: hundreds of marks would take seconds one by one.
        panel.broken_barh(
            spans,
            (0, 1),
            transform=panel.get_xaxis_transform(),
            facecolors=(colours[kind], 0.12),
            edgecolors=(colours[kind], 0.6),
            linewidth=0.6,
            zorder=1,
        )
    unit = episode.header.units.get(name, "")
    panel.set_ylabel(f"{name.removeprefix('observation.')}\n[{unit}]", fontsize=7)
    panel.tick_params(labelsize=7, labelbottom=False)
    panel.grid(alpha=0.25)


def _draw_strip(panel: Any, findings: Sequence[Finding], kinds: Sequence[str], colours: dict[str, str]) -> None:
    for row, kind in enumerate(kinds):
        spans = [(one.start_s, max(one.end_s - one.start_s, 1e-6)) for one in findings if one.kind == kind]
        panel.broken_barh(spans, (row + 0.15, 0.7), facecolors=colours[kind], edgecolors=colours[kind], linewidth=1.5)
    panel.set_yticks([row + 0.5 for row in range(len(kinds))], labels=list(kinds), fontsize=8)
    panel.set_ylim(max(1, len(kinds)), 0)
    panel.tick_params(labelsize=8)
    panel.set_xlabel("time [s]", fontsize=8)
    if not kinds:
        panel.text(0.01, 0.5, "no fault found", transform=panel.transAxes, fontsize=8, va="center")


def _title(episode: Episode, quality: Quality) -> str:
    header, outcome = episode.header, episode.outcome
    low = ", ".join(f"{name} {value:.2f}" for name, value in quality.parts.items() if value < 1)
    over = len(quality.findings) - MARKS_MAX
    lines = (
        header.task[:100],
        f"{header.robot_model} ({header.maker}), {header.unit or header.world}, {outcome.status.value} {outcome.cause}",
        f"score {quality.score:.2f}" + (f": {low}" if low else "") + (f"; {over} more findings" if over > 0 else ""),
    )
    # A dollar sign would start a formula.
    return "\n".join(line[:140] for line in lines).replace("$", r"\$")
