"""The demo's written report: one HTML page with a picture of who ran when and what was learnt."""

import base64
import html
import io
from pathlib import Path

from google.protobuf.timestamp_pb2 import Timestamp

from palaestra.v1 import job_pb2, venue_pb2
from venue.outcome import Outcome, in_order
from venue.table import figures

COLOURS = ("#3b6ea5", "#c8743a", "#4f8f5b", "#8a5fa8", "#a8893a")
WAIT = "#d5d9de"
LOST = "#c0392b"


def write_report(outcome: Outcome, folder: Path) -> Path:
    """Write `index.html` and `demo.png` into the folder; return the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    picture = draw(outcome)
    (folder / "demo.png").write_bytes(picture)
    page = folder / "index.html"
    page.write_text(_page(outcome, base64.b64encode(picture).decode()), encoding="utf-8")
    return page.resolve()


def draw(outcome: Outcome) -> bytes:
    """Return a PNG: the jobs over time, and the returns over training."""
    # Takes half a second to import, which starting the venue need not wait for.
    from matplotlib.figure import Figure

    vendors = sorted({planned.vendor for planned in outcome.planned})
    colour = {vendor: COLOURS[index % len(COLOURS)] for index, vendor in enumerate(vendors)}
    figure = Figure(figsize=(12, 7.5), layout="constrained")
    gantt, curves = figure.subplots(2, 1, height_ratios=(3, 2))
    shown = [planned for planned in outcome.planned if planned.key in outcome.jobs]
    zero_s = min((_seconds(job.create_time) for job in outcome.jobs.values()), default=0.0)
    last_s = max((_seconds(attempt.end_time) for job in outcome.jobs.values() for attempt in job.attempts), default=0.0)
    end_of_all_s = max(last_s - zero_s, 1.0)
    for row, planned in enumerate(shown):
        job = outcome.jobs[planned.key]
        begin_s = _seconds(job.create_time) - zero_s
        for attempt in in_order(job):
            granted = attempt.start_time if attempt.HasField("start_time") else attempt.grant_time
            start_s = _seconds(granted) - zero_s
            # One that has not ended, because the demo was interrupted, reaches to the end of the picture.
            end_s = _seconds(attempt.end_time) - zero_s if attempt.HasField("end_time") else end_of_all_s
            gantt.barh(row, start_s - begin_s, left=begin_s, height=0.5, color=WAIT)
            failed = attempt.state in (job_pb2.ATTEMPT_STATE_FAILED, job_pb2.ATTEMPT_STATE_LOST)
            gantt.barh(
                row,
                end_s - start_s,
                left=start_s,
                height=0.5,
                color=colour[planned.vendor],
                edgecolor=LOST if failed else colour[planned.vendor],
                hatch="///" if failed else None,
                linewidth=1.5,
            )
            begin_s = end_s
        if job.state == job_pb2.JOB_STATE_CANCELLED:
            gantt.plot(begin_s, row, marker="x", color=LOST, markersize=8, markeredgewidth=2)
        held = " → ".join(" ".join(attempt.resources) for attempt in in_order(job))
        gantt.text(begin_s + 0.01 * end_of_all_s, row, held, va="center", fontsize=8, color="#444")
    gantt.set_yticks(range(len(shown)), [f"{planned.key} ({planned.vendor})" for planned in shown])
    gantt.invert_yaxis()
    gantt.set_xlabel("time since the first submission [s]")
    gantt.set_title(
        "grey: waiting; coloured: running, by vendor; hatched: ended by a fault and tried again; ×: cancelled",
        fontsize=10,
    )
    gantt.spines[["top", "right"]].set_visible(False)
    for planned in shown:
        result = outcome.jobs[planned.key].result
        if result.return_curve:
            values = [result.return_before, *result.return_curve]
            curves.plot(values, marker="o", markersize=3, label=planned.key, color=colour[planned.vendor])
    curves.set_xlabel("training iteration")
    curves.set_ylabel("mean return over 16 worlds")
    curves.set_title("returns during training", fontsize=10)
    curves.spines[["top", "right"]].set_visible(False)
    if curves.lines:
        curves.legend(frameon=False)
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110)
    return data.getvalue()


def _page(outcome: Outcome, picture: str) -> str:
    text = html.escape
    rows = []
    for planned in outcome.planned:
        job = outcome.jobs.get(planned.key)
        if job is not None:
            state = job_pb2.JobState.Name(job.state).removeprefix("JOB_STATE_").lower()
            values = [planned.key, planned.vendor, job.display_name, state, *figures(job)]
            rows.append("<tr>" + "".join(f"<td>{text(value)}</td>" for value in values) + "</tr>")
    head = (
        "job",
        "vendor",
        "what",
        "state",
        "tries",
        "wait s",
        "run s",
        "episodes",
        "return before",
        "after",
        "success",
    )
    usage = "".join(
        f"<tr><td>{text(u.vendor.removeprefix('vendors/'))}</td><td>{u.unit_s:.1f}</td><td>{u.sim_slot_s:.1f}</td>"
        f"<td>{u.cell_s:.1f}</td><td>{u.episodes}</td></tr>"
        for u in outcome.usage
    )
    online = [unit for unit in outcome.units if unit.state != venue_pb2.UNIT_STATE_OFFLINE]
    makers = sorted({unit.maker for unit in online})
    problems = "".join(f"<li>{text(problem)}</li>" for problem in outcome.problems)
    cancel = f"{outcome.cancel_took_s:.1f} s" if outcome.cancel_took_s is not None else "never"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{text(outcome.venue.display_name)}: demo report</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2rem auto; padding: 0 1rem; color: #1d2329 }}
table {{ border-collapse: collapse; width: 100%; font-size: 13px }} td, th {{ padding: .35rem .6rem; text-align: left;
font-variant-numeric: tabular-nums;
border-bottom: 1px solid #e3e6ea }} img {{ width: 100% }} h1 {{ font-weight: 600 }} .bad {{ color: #b3261e }}
</style></head><body>
<h1>{text(outcome.venue.display_name)}</h1>
<p>{len(online)} robots of {len(makers)} makers online ({text(", ".join(makers))}), {outcome.venue.cell_count} cells,
{outcome.venue.sim_slot_count} sim slots, {len(outcome.usage)} vendors, {len(outcome.jobs)} jobs.
Unit broken on the way: {text(outcome.faulted_unit or "none")}. A running job was cancelled and gone after {cancel}.</p>
{f'<h2 class="bad">Not as it should be</h2><ul class="bad">{problems}</ul>' if problems else ""}
<img alt="Jobs over time and returns during training" src="data:image/png;base64,{picture}">
<h2>Jobs</h2><table><tr>{"".join(f"<th>{text(name)}</th>" for name in head)}</tr>{"".join(rows)}</table>
<h2>Usage since the venue was opened</h2>
<table><tr><th>vendor</th><th>unit s</th><th>sim slot s</th><th>cell s</th><th>episodes</th></tr>{usage}</table>
</body></html>
"""


def _seconds(time: Timestamp) -> float:
    return float(time.seconds) + float(time.nanos) / 1e9
