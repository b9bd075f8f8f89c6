"""Draw the pictures of the review queue and of reports in docs/: `python -m bench.review_pictures docs/images`.

Episodes are those of `bench.store_quality`, sealed into a store of their own; outcomes and causes are drawn by chance.
"""

import base64
import io
import json
import random
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bench.store_quality import JOINTS, KINDS, LIMITS, RATE_HZ, SENSOR, clean_track, header_of, planted
from store import Episode, EpisodeRecorder, LocalObjects, Outcome, Status
from store.episode import EFFORT
from store.marked import draw_marked
from store.quality import Quality, Track, check_track
from store.reports import Sample, Tally, choose, write_report

EPISODES = 60
WIDTH_PX = 900
SHOWN = (0, 1, 3, 6)
"""Plots of the report that are shown: what there is, how even, faults, where joints have been."""


def sealable(track: Track) -> Track:
    """Return the track as a file can hold it: times that rise, numbers that are some, joints alone."""
    signals = {name: np.nan_to_num(values) for name, values in track.signals.items() if name != SENSOR}
    time_s = np.maximum.accumulate(track.time_s - track.time_s[0]) + 1e-9 * np.arange(len(track.time_s))
    return Track(time_s, RATE_HZ, {**signals, EFFORT: np.zeros_like(next(iter(signals.values())))})


def review(out: Path) -> None:
    """Draw an episode with a frozen encoder and a gap."""
    track = sealable(planted("frozen", 4))
    keep = np.r_[0:900, 960 : len(track.time_s)]
    track = Track(track.time_s[keep], RATE_HZ, {name: values[keep] for name, values in track.signals.items()})
    names = tuple(f"joint_{number}" for number in range(JOINTS))
    episode = Episode(header_of(4, names), Outcome(Status.SUCCESS), track.time_s, dict(track.signals))
    quality: Quality = check_track(track, motion=LIMITS)
    draw_marked(episode, quality, out)


def report(out: Path) -> None:
    """Write a report about made-up episodes and put some of its plots under one another."""
    chance = random.Random(1)
    names = tuple(f"joint_{number}" for number in range(JOINTS))
    tally = Tally()
    facts: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="palaestra-report-") as held:
        folder = Path(held)
        objects = LocalObjects(folder / "objects")
        for number in range(EPISODES):
            track = sealable(planted(chance.choice(KINDS), number) if number % 4 == 0 else clean_track(number))
            with EpisodeRecorder(header_of(number, names), folder / "spool", objects) as recorder:
                recorder.extend(track.time_s, dict(track.signals))
                sealed = recorder.seal(Outcome(Status.SUCCESS))
            facts.append(_fact(chance, number, sealed.sha256, check_track(track)))
        for fact in facts:
            tally.add(fact)
        sample = Sample.of(choose(facts, EPISODES), objects)
        write_report(tally, sample, folder / "out", title="vendors/acme/datasets/reach/versions/3", parameters={})
        page = (folder / "out" / "report.html").read_text()
    plots = [Image.open(io.BytesIO(base64.b64decode(data))) for data in re.findall('base64,([^"]+)"', page)]
    shown = [plots[number].convert("RGB") for number in SHOWN]
    whole = Image.new("RGB", (max(one.width for one in shown), sum(one.height for one in shown)), "white")
    top = 0
    for one in shown:
        whole.paste(one, (0, top))
        top += one.height
    whole.resize((WIDTH_PX, round(whole.height * WIDTH_PX / whole.width))).save(out, optimize=True)


def _fact(chance: random.Random, number: int, sha256: str, quality: Quality) -> dict[str, Any]:
    found = Counter(finding.kind for finding in quality.findings)
    outcome = chance.choice(("success", "success", "success", "failure", "aborted"))
    return {
        "name": f"vendors/acme/episodes/e-{number}",
        "sha256": sha256,
        "robot_model": chance.choice(("own_arm", "own_quadruped", "own_humanoid")),
        "maker": chance.choice(("Palaestra", "Own")),
        "scenario": chance.choice(("kitchen", "assembly", "")),
        "outcome": outcome,
        "cause": "" if outcome == "success" else chance.choice(("fell over", "missed the cube", "time is over")),
        "duration_s": 20.0 * chance.uniform(0.3, 3.0),
        "rows": 2000,
        "quality": quality.score,
        "parts": dict(quality.parts),
        "labels": {f"fault.{kind}": str(count) for kind, count in found.items()},
    }


def main(arguments: list[str]) -> int:
    """Draw both into a folder."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    review(folder / "review.png")
    report(folder / "report.png")
    print(json.dumps([str(folder / name) for name in ("review.png", "report.png")]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
