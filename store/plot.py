"""An episode as a picture: one small panel per joint with position, target and effort over time."""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from store.episode import ACTION, EFFORT, STATE, Status
from store.reader import Episode

MAX_PANELS = 64
_POINTS = 1000
_WIDE_FONTS = (
    "Noto Sans CJK SC",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "Microsoft YaHei",
    "PingFang SC",
)
"""Fonts with Chinese characters: the first installed one helps where the default font has no glyph."""
_POSITION, _TARGET, _EFFORT = "#0b5fa5", "#e07b00", "#9a9a9a"


def thin(values: np.ndarray, points: int = _POINTS) -> np.ndarray:
    """Return the rows to draw: all of them, or per bin the lowest and the highest, so that no peak is lost.

    Args:
        values: One line, shape (rows,).
        points: Most rows to return, at least 2.

    Returns:
        Row numbers, rising, shape (at most `points`,).
    """
    if len(values) <= points:
        return np.arange(len(values))
    starts = np.linspace(0, len(values), points // 2 + 1).astype(int)[:-1]
    bins = np.split(values, starts[1:])
    lowest = [start + int(part.argmin()) for start, part in zip(starts, bins, strict=True)]
    highest = [start + int(part.argmax()) for start, part in zip(starts, bins, strict=True)]
    return np.unique(lowest + highest)


def draw_episode(episode: Episode, out: Path) -> None:
    """Draw the first `MAX_PANELS` joints to an image; the suffix of `out` chooses the format, e.g. `.png`.

    All panels share the axis of the effort, so that the joints that work stand out.
    """
    with fonts():
        _draw(episode, out)


@contextmanager
def fonts() -> Iterator[None]:
    """Draw with a font that has Chinese characters too, where one is installed."""
    # Drawing is rare and matplotlib is slow to import: the recorder must not pay for it.
    from matplotlib import font_manager, rc_context

    installed = set(font_manager.get_font_names())
    family = ["DejaVu Sans", *[font for font in _WIDE_FONTS if font in installed][:1]]
    with rc_context({"font.family": family}), warnings.catch_warnings():
        # Without such a font the characters become boxes; a picture with boxes beats a page of warnings.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield


def _draw(episode: Episode, out: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    header, time_s = episode.header, episode.time_s
    joints = header.joint_names[:MAX_PANELS]
    columns = math.ceil(math.sqrt(len(joints)))
    rows = math.ceil(len(joints) / columns)
    width_in, height_in = max(7.0, 2.6 * columns), 1.6 + 1.7 * rows
    figure = Figure(figsize=(width_in, height_in))
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, sharex=True, squeeze=False).flatten()
    # Fixed margins in inches: matplotlib's own layout engines take seconds for this many panels.
    figure.subplots_adjust(
        left=0.8 / width_in,
        right=1 - 0.45 / width_in,
        bottom=0.6 / height_in,
        top=1 - 0.8 / height_in,
        wspace=0.28,
        hspace=0.25,
    )
    most_effort = float(np.abs(episode.signals[EFFORT]).max()) or 1.0
    for joint, (panel, name) in enumerate(zip(panels, joints, strict=False)):
        effort_panel = panel.twinx()
        effort_panel.set_ylim(-1.05 * most_effort, 1.05 * most_effort)
        panel.set_zorder(effort_panel.get_zorder() + 1)
        panel.patch.set_visible(False)
        for axis, signal, color, width in (
            (effort_panel, EFFORT, _EFFORT, 0.6),
            (panel, ACTION, _TARGET, 0.9),
            (panel, STATE, _POSITION, 1.1),
        ):
            line = episode.signals[signal][:, joint]
            kept = thin(line)
            axis.plot(time_s[kept], line[kept], color=color, linewidth=width)
        panel.set_title(name, fontsize=8, pad=2)
        panel.tick_params(labelsize=6)
        panel.margins(x=0)
        last_in_row = joint % columns == columns - 1 or joint == len(joints) - 1
        effort_panel.tick_params(labelsize=6, labelright=last_in_row, colors="#707070")
    for panel in panels[len(joints) :]:
        panel.set_visible(False)
    figure.suptitle(_title(episode, len(joints)), fontsize=11)
    figure.supxlabel("time [s]", fontsize=9)
    figure.supylabel(
        f"position (blue), target (orange) [{header.units[STATE]}]; effort (grey) [{header.units[EFFORT]}]",
        fontsize=9,
    )
    figure.savefig(out, dpi=110)


def _title(episode: Episode, drawn: int) -> str:
    header, outcome = episode.header, episode.outcome
    end = outcome.status.value if outcome.status is Status.SUCCESS else f"{outcome.status}: {outcome.cause}"
    joints = len(header.joint_names)
    some = "" if drawn == joints else f", first {drawn} of {joints} joints"
    task = header.task if len(header.task) <= 100 else header.task[:97] + "..."
    # A dollar sign would start a formula.
    text = f"{task}\n{header.robot_model} ({header.maker}), {header.unit or header.world}, {end[:100]}{some}"
    return text.replace("$", r"\$")
