"""The promise of the recorder: `kill -9` at any moment loses no acknowledged episode, and a second of the open ones.

Time is a number that the recording process counts up, ten milliseconds a row, so that a second is a second however busy
the machine is. A kill comes when the process has got to a random count, wherever in its code it is just then.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from store import LocalObjects, read_episode

REPOSITORY = Path(__file__).parents[2]
ROBOTS = 50

PROGRAM = """
import json, mmap, os, random, signal, sys, time, traceback
from pathlib import Path
import numpy as np
import numpy.ma  # by pyarrow, in every child anew if not here
import store.segment
from store import EpisodeHeader, EpisodeRecorder, LocalObjects, Outcome, Status, recover_spool, read_episode

root, text, kills, robots = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
header = json.loads(text)
objects, chance = LocalObjects(root / "objects"), random.Random(kills)
# Nobody pulls the plug here: what a killed process has written stays.
os.fsync = lambda descriptor: None
store.segment.sync_file_system = os.fsync
# Per robot: until when the recorder has taken rows of its open episode [s], and which of its episodes that is; then how
# many blocks the process has recorded.
shared = np.frombuffer(mmap.mmap(-1, 8 * (2 * robots + 1)), np.float64)
taken_s, serials, count = shared[:robots], shared[robots : 2 * robots], shared[2 * robots :]
IMU = "observation.imu"


def value_of(robot, serial, time_s):
    return (robot + 10 * serial + np.asarray(time_s)).astype(np.float32)


def opened(life, robot, serial, clock):
    name, streams = f"life {life} robot {robot} serial {serial}", {IMU: {"unit": "1", "frame": "b"}}
    named = {**header, "name": name, "streams": streams}
    return EpisodeRecorder(EpisodeHeader(**named), root / "spool", objects, clock=clock)


def record_for_ever(life):
    acknowledged = os.open(root / "acknowledged", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    now_s, rng = [0.0], random.Random(life)
    recorders = [opened(life, robot, 0, lambda: now_s[0]) for robot in range(robots)]
    begins_s = [0.0] * robots
    while True:
        for robot, recorder in enumerate(recorders):
            now_s[0] += 0.1 / robots
            serial, first_s = int(serials[robot]), taken_s[robot]
            times = first_s + 0.01 * np.arange(1, 11)
            values = value_of(robot, serial, times)
            recorder.add(IMU, times, values[:, None])
            rows = np.repeat(values[:, None], len(recorder.header.joint_names), axis=1)
            recorder.extend(times, dict.fromkeys(recorder.header.signals, rows))
            taken_s[robot] = times[-1]
            count[0] += 1
            if rng.random() < 0.02:
                sealed = recorder.seal(Outcome("success"), hold=True)
                os.write(acknowledged, f"{sealed.sha256}\\n".encode())
                sealed.settle(True)
                taken_s[robot], serials[robot] = 0.0, serial + 1
                recorders[robot] = opened(life, robot, serial + 1, lambda: now_s[0])


def recover(life):
    found = {}
    for one in recover_spool(root / "spool", objects):
        robot, serial = int(one.header.name.split()[3]), int(one.header.name.split()[5])
        assert one.header.name.startswith(f"life {life} "), one.header.name
        episode = read_episode(one.sealed.path, sha256=one.sealed.sha256)
        for times, values in (
            (episode.time_s, episode.signals["action"][:, 0]),
            (episode.streams[IMU].time_s, episode.streams[IMU].values[:, 0]),
        ):
            assert np.array_equal(values, value_of(robot, serial, times))
            assert np.allclose(times, 0.01 * np.arange(1, len(times) + 1))
        found[robot] = serial, one.outcome.status, min(episode.time_s[-1], episode.streams[IMU].time_s[-1])
        one.settled()
    lost_s = []
    for robot in range(robots):
        serial, status, until_s = found.get(robot, (None, None, 0.0))
        if serial == serials[robot] - 1:
            # Sealed, and the process died before it could begin the next one, or say that it did.
            assert status == Status.SUCCESS
            until_s = taken_s[robot]
        elif serial is not None:
            # What the process was told of its present episode; it may have been sealed just then.
            assert serial == serials[robot] and status in (Status.INTERRUPTED, Status.SUCCESS)
        lost_s.append(max(0.0, taken_s[robot] - until_s))
    return {"lost_s": lost_s, "interrupted": sum(status == Status.INTERRUPTED for _, status, _ in found.values())}


def in_a_child(act):
    child = os.fork()
    if not child:
        try:
            act()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return child


results = []
for life in range(kills):
    shared[:] = 0.0
    child = in_a_child(lambda: record_for_ever(life))
    goal = chance.randrange(1, 10 * robots)
    while count[0] < goal:
        time.sleep(0.0005)
        if os.waitpid(child, os.WNOHANG) != (0, 0):
            sys.exit("the recorder ended by itself")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    child = in_a_child(lambda: (root / "result").write_text(json.dumps(recover(life))))
    if os.waitpid(child, 0)[1]:
        sys.exit(f"life {life}: recovery failed")
    results.append(json.loads((root / "result").read_text()))
left = sorted(os.listdir(root / "spool"))
print(json.dumps({
    "lost_s": max(max(one["lost_s"]) for one in results),
    "interrupted": sum(one["interrupted"] for one in results),
    "left": left,
}))
"""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kills", [40, pytest.param(200, marks=pytest.mark.long)])
def test_kill_9_while_fifty_robots_record_loses_a_second_at_most(house: Any, make_header: Any, kills: int) -> None:
    """Every acknowledged episode is whole; of every open one all but its last second is sealed as interrupted."""
    arguments = (str(house.root), make_header().to_json(), str(kills), str(ROBOTS))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], cwd=REPOSITORY, capture_output=True, text=True, timeout=1200
    )

    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["lost_s"] <= 1.0
    # Half a second is flushed to the microsecond; that nothing at all is lost would be another recorder.
    assert said["lost_s"] > 0.05
    assert said["interrupted"] > 5 * kills
    assert said["left"] == []
    objects = LocalObjects(house.root / "objects")
    acknowledged = (house.root / "acknowledged").read_text().split()
    assert len(acknowledged) > kills
    for digest in acknowledged:
        read_episode(objects.path_of(digest), sha256=digest)
