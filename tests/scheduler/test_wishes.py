"""What is told of an admitted job's wishes is what reading it would find."""

from pathlib import Path
from typing import Any

import pytest

from scheduler.snapshot import queue
from scheduler.state import Job
from tests.scheduler.site import Site, job, play


def waiting(site: Site) -> dict[int, Job]:
    return {found.job: found for found, _ in queue.waiting(site.core.read)}


def test_what_a_job_wants_is_told_once_and_read_the_same_afterwards(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        wishes = [
            job(1),
            job(2, collect={"motion": "sway", "task": "fold a shirt", "seed": 7}),
            job(2, collect={"motion": "sway", "task": "fold a shirt", "seed": 8}),
            job(1, cell="assembly", priority=3),
        ]
        for vendor in ("acme", "rival"):
            for wish in wishes:
                await site.submit(wish, vendor)
        # The cycle may have read some already, which are then read from the database like any other.
        first, again = waiting(site), waiting(site)
        assert len(first) == 2 * len(wishes)
        assert first == again
        for row in site.rows("SELECT id, vendor, spec FROM job"):
            found = first[row["id"]]
            assert (found.claim, found.booking, found.setup) == queue.wishes_of(row["spec"], row["vendor"])
        setups = {found.setup for found in first.values() if found.setup}
        assert len(setups) == 3, "a motion is the venue's, a task in words its vendor's"

    play(tmp_path, scene)


def test_what_nobody_reads_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "TOLD_MAX", 10)
    wishes: Any = (None, "", "")
    for number in range(100):
        queue.tell_wishes(str(number).encode(), "acme", wishes)
        assert len(queue._told) <= 10
    queue._told.clear()
