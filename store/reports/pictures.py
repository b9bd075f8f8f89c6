"""The plots of a report, each as the bytes of a PNG."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from store.plot import fonts
from store.reports.facts import BINS, DURATION_EDGES_S, Tally
from store.reports.sample import Sample

BLUE, GREY = "#0b5fa5", "#c3ccd3"
OUTCOMES = {"success": "#1e8449", "failure": "#c0392b", "aborted": "#e07b00", "interrupted": "#8e44ad"}
DPI = 90
NAME_MAX = 34


def composition(tally: Tally) -> bytes:
    """Episodes by robot and outcome, maker, scenario, outcome."""
    with _figure(11.0, 5.6) as (figure, out):
        panels = figure.subplots(2, 2).flatten()
        robots = sorted(tally.by_robot, key=lambda model: -sum(tally.by_robot[model].values()))[:12]
        left = np.zeros(len(robots))
        known = [*OUTCOMES, *sorted({word for counts in tally.by_robot.values() for word in counts} - set(OUTCOMES))]
        for outcome in known:
            widths = np.array([tally.by_robot[model][outcome] for model in robots], float)
            if widths.any():
                panels[0].barh(range(len(robots)), widths, left=left, color=OUTCOMES.get(outcome, GREY), label=outcome)
            left += widths
        _named(panels[0], robots, "robot model, by outcome")
        panels[0].legend(fontsize=7, loc="lower right")
        for panel, thing in zip(panels[1:], ("maker", "scenario", "outcome"), strict=True):
            _bars(panel, tally.top(thing), thing)
    return out.getvalue()


def durations(tally: Tally, sample: Sample) -> bytes:
    """How long episodes are, and at which rate, gaps and jitter of the sample."""
    with _figure(11.0, 5.2) as (figure, out):
        panels = figure.subplots(2, 2).flatten()
        widths = np.diff(DURATION_EDGES_S)
        panels[0].bar(DURATION_EDGES_S[:-1], tally.durations, widths, align="edge", color=BLUE)
        panels[0].set_xscale("log")
        filled = np.flatnonzero(tally.durations)
        if len(filled):
            panels[0].set_xlim(DURATION_EDGES_S[max(0, filled[0] - 2)], DURATION_EDGES_S[filled[-1] + 1] * 1.6)
        _labelled(panels[0], "duration [s]", f"all {tally.episodes} episodes")
        _histogram(panels[1], sample.rate_share, "measured rate / promised rate", sample.read)
        _histogram(panels[2], sample.jitter, "jitter: deviation of the steps [periods]", sample.read)
        panels[2].axvline(0.1, color="#c0392b", linewidth=0.8)
        gaps = [gap_s for gap_s in sample.longest_gap_s if gap_s > 0]
        _histogram(panels[3], gaps, "longest gap [s], of episodes that have one", sample.read)
    return out.getvalue()


def quality(tally: Tally) -> bytes:
    """The score and its parts, over all episodes that have one."""
    parts = sorted(tally.parts)
    with _figure(11.0, 1.9 + 0.42 * max(1, len(parts))) as (figure, out):
        grid = figure.add_gridspec(2, 1, height_ratios=[1.3, 0.42 * max(1, len(parts))])
        panel = figure.add_subplot(grid[0, 0])
        edges = np.linspace(0, 1, BINS + 1)
        panel.bar(edges[:-1], tally.quality, 1 / BINS, align="edge", color=BLUE)
        panel.set_xlim(0, 1)
        _labelled(panel, "", f"score of {tally.episodes - tally.unscored} episodes")
        table = figure.add_subplot(grid[1, 0])
        if parts:
            shares = np.stack([tally.parts[name] / max(1, tally.parts[name].sum()) for name in parts])
            table.imshow(np.sqrt(shares), aspect="auto", extent=(0, 1, len(parts), 0), cmap="Blues", vmin=0, vmax=1)
            table.set_yticks([row + 0.5 for row in range(len(parts))], labels=parts, fontsize=8)
        table.set_xlabel("each part of the score: share of the episodes, the darker the more", fontsize=8)
        table.tick_params(labelsize=8)
    return out.getvalue()


def faults(tally: Tally, sample: Sample) -> bytes:
    """Episodes with each kind of fault: as scored, over all; and found anew in the sample."""
    with _figure(11.0, 3.4) as (figure, out):
        whole, some = figure.subplots(1, 2)
        scored = tally.episodes - tally.unscored
        _bars(whole, tally.top("fault", 16), f"faults as scored: episodes, of {scored}", colour="#c0392b")
        _bars(
            some, sample.faults.most_common(16), f"faults in the sample: episodes, of {sample.read}", colour="#c0392b"
        )
    return out.getvalue()


def failures(tally: Tally) -> bytes:
    """Why episodes failed: as the job said, and as people say."""
    with _figure(11.0, 3.4) as (figure, out):
        told, judged = figure.subplots(1, 2)
        _bars(told, tally.top("cause"), "cause, as recorded (all that did not succeed)", colour="#c0392b")
        _bars(judged, tally.top("judged"), "failure cause, as people say", colour="#8e44ad")
    return out.getvalue()


def lag(sample: Sample) -> bytes:
    """Delay of the state behind the action."""
    with _figure(11.0, 2.6) as (figure, out):
        panel = figure.subplots(1, 1)
        _histogram(panel, sample.lag_s, "state behind action [s]", sample.read)
        for bound in (-0.03, 0.25):
            panel.axvline(bound, color="#c0392b", linewidth=0.8)
    return out.getvalue()


def coverage(sample: Sample, model: str) -> bytes:
    """How often each joint of a model was where."""
    names, rows = sample.joints[model][0], sample.positions(model)
    low, high = min(-np.pi, float(rows.min())), max(np.pi, float(rows.max()))
    cells = 90
    counts = np.stack([np.histogram(rows[:, column], cells, (low, high))[0] for column in range(len(names))])
    shares = counts / np.maximum(1, counts.max(axis=1, keepdims=True))
    with _figure(11.0, 1.3 + 0.2 * len(names)) as (figure, out):
        panel = figure.subplots(1, 1)
        panel.imshow(np.sqrt(shares), aspect="auto", extent=(low, high, len(names), 0), cmap="Blues", vmin=0, vmax=1)
        labels = [_short(name) for name in names]
        panel.set_yticks([row + 0.5 for row in range(len(names))], labels=labels, fontsize=7)
        panel.set_xlabel("position [rad or m]; the darker the more often", fontsize=8)
        panel.tick_params(labelsize=7)
        panel.set_title(f"{_short(model)}: {len(rows)} rows of {len(sample.joints[model][1])} episodes", fontsize=9)
    return out.getvalue()


@contextmanager
def _figure(width_in: float, height_in: float) -> Iterator[tuple[Any, io.BytesIO]]:
    # matplotlib is slow to import.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    out = io.BytesIO()
    with fonts():
        figure = Figure(figsize=(width_in, height_in), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure, out
        figure.savefig(out, dpi=DPI, format="png")


def _short(text: str) -> str:
    # A dollar sign would start a formula.
    return (text if len(text) <= NAME_MAX else text[: NAME_MAX - 3] + "...").replace("$", r"\$")


def _bars(panel: Any, found: Sequence[tuple[str, int]], title: str, *, colour: str = BLUE) -> None:
    bars = panel.barh(range(len(found)), [number for _, number in found], color=colour)
    panel.bar_label(bars, fontsize=7, padding=2)
    _named(panel, [name for name, _ in found], title)


def _named(panel: Any, names: Sequence[str], title: str) -> None:
    panel.set_yticks(range(len(names)), labels=[_short(name) for name in names], fontsize=7)
    panel.set_ylim(max(1, len(names)) - 0.4, -0.6)
    panel.margins(x=0.12)
    _labelled(panel, "", title)
    if not names:
        panel.text(0.5, 0.5, "none", transform=panel.transAxes, ha="center", va="center", color="#707070")


def _histogram(panel: Any, values: Sequence[float], label: str, read: int) -> None:
    if len(values):
        panel.hist(values, bins=30, color=BLUE)
    else:
        panel.text(0.5, 0.5, "none", transform=panel.transAxes, ha="center", va="center", color="#707070")
    _labelled(panel, label, f"{len(values)} of {read} sampled episodes")


def _labelled(panel: Any, label: str, title: str) -> None:
    panel.set_title(title, fontsize=9)
    panel.set_xlabel(label, fontsize=8)
    panel.tick_params(labelsize=7)
    panel.ticklabel_format(axis="x", useOffset=False) if panel.get_xscale() == "linear" else None
