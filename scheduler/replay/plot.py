"""A picture that compares policies on one log."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from scheduler.replay.estimates import Score
from scheduler.replay.metrics import bounded_slowdown
from scheduler.replay.workload import Workload

# Run times that people tell apart: seconds, minutes, an hour, a shift, longer.
CLASSES_S = ((60, "< 1 min"), (600, "1-10 min"), (3600, "10-60 min"), (28_800, "1-8 h"), (float("inf"), "> 8 h"))


def draw(path: Path, workload: Workload, waits_s: Mapping[str, Sequence[float]], *, title: str) -> None:
    """Draw how long jobs waited, and the mean bounded slowdown by length of job, for each policy."""
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    waits, slowdowns = figure.subplots(1, 2)
    figure.suptitle(f"{title}: {len(workload.jobs):,} jobs on {workload.procs:,} processors")

    for name, values in waits_s.items():
        # Zero has no place on a logarithmic axis: what waits less than a second counts as one.
        ordered = sorted(max(1, value) for value in values)
        waits.step(ordered, [(n + 1) / len(ordered) for n in range(len(ordered))], where="post", label=name)
    waits.set_xscale("log")
    waits.set_ylim(0, 1)
    waits.set_xlabel("wait [s]")
    waits.set_ylabel("share of jobs that waited at most so long")
    waits.grid(alpha=0.3)
    waits.legend()

    width = 0.8 / len(waits_s)
    for place, (name, values) in enumerate(waits_s.items()):
        means = _by_class(workload, values)
        slowdowns.bar([n + place * width for n in range(len(means))], means, width, label=name)
    slowdowns.set_yscale("log")
    slowdowns.set_xticks([n + 0.4 - width / 2 for n in range(len(CLASSES_S))], [label for _, label in CLASSES_S])
    slowdowns.set_xlabel("run time")
    slowdowns.set_ylabel("mean bounded slowdown")
    slowdowns.grid(alpha=0.3, axis="y")
    figure.savefig(path, dpi=110, format="png")


def _by_class(workload: Workload, waits_s: Sequence[float]) -> list[float]:
    """Return the mean bounded slowdown of each class of run times, 1 where it has no job."""
    found: list[list[float]] = [[] for _ in CLASSES_S]
    for job, wait_s in zip(workload.jobs, waits_s, strict=True):
        place = next(n for n, (limit_s, _) in enumerate(CLASSES_S) if job.run_s < limit_s)
        found[place].append(bounded_slowdown(job, wait_s))
    return [sum(values) / len(values) if values else 1.0 for values in found]


def draw_reliability(path: Path, scores: Sequence[Score], *, title: str) -> None:
    """Draw, for each way of telling waits, which share of jobs waited no longer than told at each level."""
    figure = Figure(figsize=(5.6, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot((0, 1), (0, 1), color="black", linewidth=0.8, linestyle=":", label="perfect")
    for way in dict.fromkeys(one.way for one in scores):
        points = [(one.level, one.coverage) for one in scores if one.way == way]
        axes.plot(*zip(*points, strict=True), marker="o", markersize=4, label=way)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xlabel("level told")
    axes.set_ylabel("share of jobs that waited no longer")
    jobs = max(one.jobs for one in scores)
    axes.set_title(f"{title}: {jobs:,} jobs that had to wait", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=110, format="png")


def draw_starvation(
    path: Path, workload: Workload, waits_s: Mapping[str, Sequence[float]], bounds_s: Sequence[float]
) -> None:
    """Draw every job's wait over the time of its submission by policy, and each wait of the first against its bound."""
    figure = Figure(figsize=(12, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    *panels, against = figure.subplots(1, len(waits_s) + 1)
    colors = {work: f"C{n}" for n, work in enumerate(sorted({job.user for job in workload.jobs}))}
    highest_h = max(max(values) for values in waits_s.values()) / 3600
    for axes, (name, values) in zip(panels, waits_s.items(), strict=True):
        for work, color in colors.items():
            rows = [(job, wait_s) for job, wait_s in zip(workload.jobs, values, strict=True) if job.user == work]
            axes.scatter(
                [job.submit_s / 3600 for job, _ in rows], [w / 3600 for _, w in rows], s=4, color=color, label=work
            )
        axes.set_title(name)
        axes.set_yscale("symlog", linthresh=1)
        axes.set_ylim(0, highest_h * 1.3)
        axes.set_xlabel("submission [h]")
        axes.set_ylabel("wait [h]")
        axes.grid(alpha=0.3)
    panels[0].legend(fontsize=7, loc="upper left")
    first = next(iter(waits_s))
    against.scatter([b / 3600 for b in bounds_s], [w / 3600 for w in waits_s[first]], s=4, color="black")
    limits = (min(bounds_s) / 3600, max(bounds_s) / 3600)
    against.plot(limits, limits, color="red", linewidth=0.8, label="bound")
    against.set_xscale("log")
    against.set_yscale("symlog", linthresh=1)
    against.set_ylim(0, limits[1])
    against.set_title(f"{first}: wait and its bound")
    against.set_xlabel("bound [h]")
    against.set_ylabel("wait [h]")
    against.grid(alpha=0.3)
    against.legend()
    figure.savefig(path, dpi=110, format="png")
