"""What a killed process and a full disk leave behind: whole objects, and a spool that can be swept."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from store import clean_spool, read_episode

REPOSITORY = Path(__file__).parents[2]

KILLED = """
import json, os, random, signal, sys, time
from pathlib import Path
from store import EpisodeHeader, EpisodeRecorder, LocalObjects, Outcome
import numpy as np

root, header, kills = Path(sys.argv[1]), EpisodeHeader.from_json(sys.argv[2]), int(sys.argv[3])
objects = LocalObjects(root / "objects")
chance = random.Random(5)


def record_for_ever(first: int) -> None:
    acknowledged = os.open(root / "acknowledged", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    rng = np.random.default_rng(first)
    for number in range(10**6):
        rows = int(rng.integers(1, 3000))
        values = rng.standard_normal((rows, len(header.joint_names)))
        recorder = EpisodeRecorder(header, root / "spool", objects, block_bytes=30_000)
        recorder.extend(np.arange(rows) / 100, {s: values for s in header.signals})
        sealed = recorder.seal(Outcome("failure", f"{first} {number}"))
        os.write(acknowledged, f"{sealed.sha256}\\n".encode())


def acknowledged_count() -> int:
    path = root / "acknowledged"
    return path.read_bytes().count(b"\\n") if path.exists() else 0


# What an episode takes on this machine just now, so that kills come in the midst of the first few.
episode_s = 0.01
for kill in range(kills + 1):
    # A fork costs no imports, so many points can be tried; the parent has started no thread yet.
    child = os.fork()
    if not child:
        record_for_ever(kill)
    if kill == 0:
        begin_s = time.monotonic()
        while acknowledged_count() < 8:
            time.sleep(0.001)
        episode_s = (time.monotonic() - begin_s) / 8
    else:
        time.sleep(chance.uniform(0.0, 8 * episode_s))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
print(json.dumps({"leftovers": len(os.listdir(root / "spool"))}))
"""

FULL = """
import json, resource, sys
from pathlib import Path
from store import EpisodeClosed, EpisodeHeader, EpisodeRecorder, LocalObjects, Outcome, StoreFull
import numpy as np

root, header = Path(sys.argv[1]), EpisodeHeader.from_json(sys.argv[2])
block_bytes, rows = int(sys.argv[3]), int(sys.argv[4])
objects = LocalObjects(root / "objects")
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
recorder = EpisodeRecorder(header, root / "spool", objects, block_bytes=block_bytes)
values = np.random.default_rng(0).standard_normal((rows, len(header.joint_names)))
said = {}
try:
    recorder.extend(np.arange(rows) / 100, {s: values for s in header.signals})
    said["recorded"] = True
    recorder.seal(Outcome("success"))
except StoreFull as error:
    said["full"] = str(error)
try:
    recorder.seal(Outcome("success"))
except EpisodeClosed as error:
    said["closed"] = str(error)
print(json.dumps(said))
"""


def run(program: str, *arguments: str) -> Any:
    """Run a program in a process of its own and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_kill_at_any_moment_leaves_only_whole_episodes_and_loses_none_that_was_acknowledged(
    house: Any, make_header: Any
) -> None:
    """41 recording processes die at random moments. Every path under the objects is a whole episode."""
    said = run(KILLED, str(house.root), make_header().to_json(), "40")

    acknowledged = (house.root / "acknowledged").read_text().split()
    stored = list(house.objects.digests())
    # Of the first alone come eight.
    assert len(acknowledged) > 20
    assert set(acknowledged) <= set(stored)
    # At most the one episode per child that was sealed but not yet said so.
    assert len(stored) - len(acknowledged) <= 41
    for digest in stored:
        episode = read_episode(house.objects.path_of(digest), sha256=digest)
        assert np.array_equal(episode.signals["action"], episode.signals["observation.state"])
    assert said["leftovers"] > 0
    assert clean_spool(house.spool) > 0
    assert clean_spool(house.objects.incoming) == 0
    assert house.leftovers() == []


def test_a_full_disk_while_recording_is_said_clearly_and_shows_nothing(house: Any, make_header: Any) -> None:
    """The spool hits a limit of 100 kB."""
    said = run(FULL, str(house.root), make_header().to_json(), "10000", "10000")

    assert "no room to write episode vendors/acme/episodes/e-1" in said["full"]
    assert "recorded" not in said
    assert "failed before" in said["closed"]
    assert house.leftovers() == []
    assert list(house.objects.digests()) == []


def test_a_full_disk_while_sealing_is_said_clearly_and_shows_nothing(house: Any, make_header: Any) -> None:
    """All rows fit into memory, the sealed file hits the limit."""
    said = run(FULL, str(house.root), make_header().to_json(), "10000000", "10000")

    assert said["recorded"]
    assert "no room to write episode vendors/acme/episodes/e-1" in said["full"]
    assert "failed before" in said["closed"]
    assert house.leftovers() == []
    assert list(house.objects.digests()) == []
