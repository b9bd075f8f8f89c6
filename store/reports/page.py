"""The report as one page that needs nothing else, and the same figures as JSON beside it."""

import base64
import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from store.reports import pictures
from store.reports.facts import Tally
from store.reports.sample import Sample

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1b2733; max-width: 1040px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.5em; margin-bottom: 0; } h2 { font-size: 1.1em; margin: 2em 0 .4em; }
img { max-width: 100%; } table { border-collapse: collapse; } td, th { padding: 2px 14px 2px 0; text-align: left; }
td.n { text-align: right; } .dim { color: #5d6b78; } code { font-size: .85em; overflow-wrap: anywhere; }
"""


def code_sha256() -> str:
    """Return the hash over the sources of this package, by name and content."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def write_report(
    tally: Tally, sample: Sample, out: Path, *, title: str, parameters: Mapping[str, Any]
) -> dict[str, Any]:
    """Write `report.html` and `report.json` into a folder, made if it is not there; return what is in the latter.

    Args:
        title: Of the page, such as the version's name.
        parameters: What the report was made with, for its record.

    Raises OSError.
    """
    figures = {
        "record": {
            "step": "report",
            "input_sha256": tally.manifest_sha256,
            "code_sha256": code_sha256(),
            "parameters": dict(parameters),
        },
        "steps": sample.steps,
        "facts": tally.summary(),
        "sample": sample.summary(),
    }
    out.mkdir(parents=True, exist_ok=True)
    page = _page(tally, sample, title, figures)
    (out / "report.html").write_text(page, encoding="utf-8")
    (out / "report.json").write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return figures


def _page(tally: Tally, sample: Sample, title: str, figures: Mapping[str, Any]) -> str:
    seen = f"Facts are of all {tally.episodes} episodes; signals of a sample of {sample.read}."
    if sample.chosen > sample.read:
        seen += f" {sample.chosen - sample.read} of the sample could not be read."
    parts = [
        f"<h1>{html.escape(title)}</h1><p class=dim>{html.escape(seen)}</p>",
        _table(_overview(tally)),
        _section("What there is", pictures.composition(tally)),
        _section("How long, how fast, how even", pictures.durations(tally, sample)),
        _section("Quality", pictures.quality(tally)) if tally.episodes > tally.unscored else _none("Quality"),
        _section("Faults", pictures.faults(tally, sample)),
        _section("Failures", pictures.failures(tally)),
        _section("State behind action", pictures.lag(sample)),
    ]
    for model in sorted(sample.joints):
        parts.append(_section(f"Where the joints of {model} have been", pictures.coverage(sample, model)))
        widest = sorted(sample.coverage(model).items(), key=lambda pair: pair[1]["visited"])[:5]
        rows = [(name, f"{one['low']:.3g} to {one['high']:.3g}", f"{one['visited']:.0%}") for name, one in widest]
        parts.append(_table(rows, ("least covered joints", "range [rad or m]", "cells visited")))
    parts.append("<h2>Duplicates in the sample</h2>")
    pairs = [(one, two, f"{distance:.3f}") for one, two, distance in sample.duplicates]
    parts.append(_table(pairs, ("near duplicates", "", "distance")) if pairs else "<p>No near duplicates.</p>")
    groups = [(", ".join(group[:10]),) for group in sample.exact]
    parts.append(_table(groups, ("exact duplicates",)) if groups else "<p>No exact duplicates.</p>")
    if sample.refused:
        parts.append("<h2>Could not be read</h2>" + _table(list(sample.refused.items())))
    record = html.escape(json.dumps(figures["record"], ensure_ascii=False))
    parts.append(f"<h2>How this was made</h2><p><code>{record}</code></p><p class=dim>All figures: report.json.</p>")
    # Names and tasks are a vendor's own words: nothing of them may run.
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style>"
    )
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def _overview(tally: Tally) -> list[tuple[str, ...]]:
    outcomes = ", ".join(f"{name} {number}" for name, number in tally.top("outcome"))
    reviews = ", ".join(f"{name} {number}" for name, number in tally.top("review")) or "none"
    return [
        ("episodes", str(tally.episodes)),
        ("hours", f"{tally.duration_s / 3600:.2f}"),
        ("rows", str(tally.rows)),
        ("outcomes", outcomes),
        ("without a score", str(tally.unscored)),
        ("reviews", reviews),
    ]


def _section(title: str, picture: bytes) -> str:
    data = base64.b64encode(picture).decode()
    words = html.escape(title)
    return f'<h2>{words}</h2><img alt="{words}" src="data:image/png;base64,{data}">'


def _none(title: str) -> str:
    return f"<h2>{html.escape(title)}</h2><p>No episode has a score yet: <code>palaestra data score</code>.</p>"


def _table(rows: Sequence[Sequence[str]], heads: Sequence[str] = ()) -> str:
    top = f"<tr>{''.join(f'<th>{html.escape(head)}</th>' for head in heads)}</tr>" if heads else ""
    lines = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table>{top}{lines}</table>"
