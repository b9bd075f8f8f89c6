"""A picture that compares policies on one log."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

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
