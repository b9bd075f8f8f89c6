"""From a vendor's submit call to the first torque of a robot.

`first_torque_ms_*`: a whole venue on loopback, one idle emulated arm, jobs one by one; the time from before the submit
call to the first non-zero torque that the control loop puts out.
"""

import math
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from palaestra import Client, jobs
from palaestra.v1 import job_pb2, venue_pb2
from venue.profile import Profile
from venue.supervisor import Supervisor

JOBS = 20
VENUE = """
[venue]
id = "bench"
name = "measurement"
width_m = 6.0
depth_m = 4.0
[ports]
scheduler = 0
api = 0
[runner]
sim_slots = 1
warm_workers = 3
[[vendor]]
id = "acme"
[[host]]
id = "floor"
[[unit]]
id = "arm-1"
robot = "own_arm"
host = "floor"
x_m = 3.0
y_m = 2.0
"""


def run() -> dict[str, Any]:
    """Return the figures."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "venue.toml"
        path.write_text(VENUE)
        times_ms = _first_torques(path, Path(folder) / "venue")
    times_ms.sort()
    return {
        "first_torque_ms_p50": round(statistics.median(times_ms), 1),
        "first_torque_ms_p95": round(times_ms[math.ceil(0.95 * len(times_ms)) - 1], 1),
        "first_torque_samples": len(times_ms),
    }


def _first_torques(venue: Path, data: Path) -> list[float]:
    supervisor = Supervisor(Profile.load(venue), data)
    try:
        supervisor.start()
        times_ms = []
        with Client(supervisor.scheduler_address, supervisor.token("vendor-acme")) as client:
            for _ in range(JOBS + 1):
                job = jobs.collect(motion="sway", episodes=1, episode_s=0.2, units=[jobs.unit(robot_class="arm")])
                # The arm of the last job brakes for a second before it may be given away again.
                while next(client.units()).state != venue_pb2.UNIT_STATE_IDLE:
                    time.sleep(0.05)
                asked_ns = time.time_ns()
                done = client.wait(client.submit(job).name, timeout_s=60.0)
                if done.state != job_pb2.JOB_STATE_SUCCEEDED or len(done.attempts) != 1:
                    raise SystemExit(f"a job of the measurement failed: {done.failure}")
                times_ms.append((done.result.first_torque_unix_ns - asked_ns) / 1e6)
        # The first job loads the robot's model into the worker.
        return times_ms[1:]
    finally:
        supervisor.stop()
