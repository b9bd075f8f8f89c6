"""A picture of who got what beside what was due."""

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from scheduler.fairness.metrics import Report

BAR_WIDTH = 0.4


def draw(path: Path, report: Report) -> None:
    """Draw service and entitlement of each vendor, and the finish-time fairness of its jobs."""
    lines = report.lines
    places = list(range(len(lines)))
    figure = Figure(figsize=(max(6.0, 1.2 * len(lines)), 6.5), layout="constrained")
    FigureCanvasAgg(figure)
    shares, rhos = figure.subplots(2, 1, sharex=True)
    shares.bar([n - BAR_WIDTH / 2 for n in places], [100 * line.service for line in lines], BAR_WIDTH, label="service")
    due = [100 * line.entitlement for line in lines]
    shares.bar([n + BAR_WIDTH / 2 for n in places], due, BAR_WIDTH, label="entitlement")
    shares.set_ylabel("share of the venue [%]")
    shares.legend()
    rhos.bar(places, [line.rho_mean for line in lines], BAR_WIDTH, label="mean")
    rhos.plot(places, [line.rho_max for line in lines], "v", color="tab:red", label="worst")
    rhos.axhline(1.0, color="black", linewidth=0.8)
    rhos.set_ylabel("finish-time fairness")
    rhos.set_xticks(places, [line.vendor for line in lines], rotation=45)
    rhos.legend()
    figure.savefig(path, dpi=110, format="png")
