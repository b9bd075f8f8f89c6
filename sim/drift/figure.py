"""How differences grow, drawn: a panel for each robot whose motion is another one, and one for all others."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sim.drift.compare import Comparison
from sim.drift.record import QUANTITIES

COLUMNS = 3
FLOOR = 1e-18
"""Where what does not differ at all is drawn: a logarithm has no place for 0."""
COLOURS = {"angle": "#1f6f8b", "speed": "#d1495b", "torque": "#edae49", "base": "#66a182", "turn": "#8d96a3"}


def draw(compared: Sequence[Comparison], versions: tuple[str, str], out: Path) -> None:
    """Draw a panel for each robot: the drift of each quantity, and of a start a little beside in dashes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines = -(-len(compared) // COLUMNS)
    figure = Figure(figsize=(4.2 * COLUMNS, 2.3 * lines + 1.0), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(lines, COLUMNS, sharex=True, sharey=True, squeeze=False)
    for panel in panels.flat[len(compared) :]:
        panel.axis("off")
    for each, panel in zip(compared, panels.flat, strict=False):
        _panel(panel, each)
    for panel in panels[:, 0]:
        panel.set_ylabel("difference")
    for panel in panels[-1]:
        panel.set_xlabel("time [s]")
    handles = [_line(COLOURS[name], "-", f"{name} [{unit}]") for name, unit in QUANTITIES.items()]
    handles.append(_line("#444444", "--", "angle, same version, started 1e-12 rad beside"))
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    figure.suptitle(f"MuJoCo {versions[0]} against {versions[1]}: the same robots under the same controls")
    figure.savefig(out, dpi=90)


def _panel(panel: Any, each: Comparison) -> None:
    for name, drift in each.drifts.items():
        panel.semilogy(each.time_s, np.maximum(drift.grows, FLOOR), color=COLOURS[name], linewidth=1.2)
    nudged = np.maximum(each.drifts["angle"].nudged, FLOOR)
    panel.semilogy(each.time_s, nudged, color="#444444", linewidth=1.0, linestyle="--")
    panel.set_title(f"{each.robot}: {each.verdict}", fontsize=10)
    panel.set_ylim(FLOOR / 2, 1e2)
    panel.grid(alpha=0.25)


def _line(colour: str, style: Literal["-", "--"], label: str) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=colour, linestyle=style, label=label)
