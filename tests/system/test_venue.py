"""A venue as a whole: how it starts beside another, how it stops, what it leaves."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import grpc
import pytest

from palaestra import Client
from palaestra.v1 import venue_pb2, venue_service_pb2, venue_service_pb2_grpc
from tests.system.hall import VENUE, Hall, open_hall
from venue.process import session_members
from venue.profile import Profile
from venue.supervisor import Supervisor, VenueError

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]
ROOT = Path(__file__).parents[2]


def test_a_second_supervisor_of_the_same_folder_is_refused(hall: Hall, data: Path) -> None:
    with pytest.raises(VenueError, match="running already"):
        Supervisor(Profile.load(VENUE), data)


def test_a_port_in_use_is_named_before_anything_starts(hall: Hall, tmp_path: Path) -> None:
    port = hall.supervisor.api_url.rpartition(":")[2]
    profile = tmp_path / "hall.toml"
    profile.write_text(VENUE.read_text().replace("api = 0", f"api = {port}"))
    supervisor = Supervisor(Profile.load(profile), tmp_path / "data")
    try:
        with pytest.raises(VenueError, match=rf"port {port}, \[ports\] api in .*hall.toml, cannot be used"):
            supervisor.start()
        assert all(process.pid is None for process in supervisor.processes)
    finally:
        supervisor.stop()


def test_two_schedulers_on_one_machine_do_not_disturb_each_other(hall: Hall, tmp_path: Path) -> None:
    """Another scheduler on another port: its token is no good in the hall, nor the hall's there."""
    other = subprocess.Popen(
        [sys.executable, "-m", "scheduler", "--venue", str(VENUE), "--data", str(tmp_path), "--listen", "127.0.0.1:0"],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
    )
    try:
        give_up_s = time.monotonic() + 60.0
        while not (tmp_path / "scheduler.address").exists():
            assert time.monotonic() < give_up_s
            assert other.poll() is None
            time.sleep(0.05)
        address = (tmp_path / "scheduler.address").read_text().strip()
        token = (tmp_path / "tokens" / "operator.token").read_text().strip()
        with Client(address, token) as client:
            assert {unit.state for unit in client.units()} == {venue_pb2.UNIT_STATE_OFFLINE}
            assert client.venue().runner_count == 0
        assert hall.operator.venue().runner_count == 1
        for there, wrong in ((address, hall.supervisor.token("operator")), (hall.supervisor.scheduler_address, token)):
            with grpc.insecure_channel(there) as channel, pytest.raises(grpc.RpcError) as refused:
                venue_service_pb2_grpc.VenueServiceStub(channel).GetVenue(
                    venue_service_pb2.GetVenueRequest(name="venues/-"),
                    metadata=(("authorization", f"Bearer {wrong}"),),
                    timeout=10.0,
                )
            assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    finally:
        other.send_signal(signal.SIGTERM)
        assert other.wait(20.0) == 0


def test_a_venue_that_is_stopped_leaves_nothing_behind(tmp_path: Path) -> None:
    """All sessions are empty, Ray's folder is gone, the folder can be used again; and what is in it is still there."""
    with open_hall(tmp_path / "data") as hall:
        sessions = [process.pid for process in hall.supervisor.processes]
        assert all(sessions)
        ray_folder = Path((tmp_path / "data" / "ray.folder").read_text().strip())
        assert any(ray_folder.iterdir())
        runner = hall.process("runner").pid
        assert len(session_members(runner or 0)) > 3, "the runner's session holds Ray's processes"
        asked_s = time.monotonic()
        hall.supervisor.stop()
        took_s = time.monotonic() - asked_s

    print(f"stopped in {took_s:.1f} s")
    assert took_s < 10.0
    assert [session_members(session or 0) for session in sessions] == [[]] * len(sessions)
    assert not ray_folder.exists()
    again = Supervisor(Profile.load(VENUE), tmp_path / "data")
    again.stop()


def test_children_end_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    """kill -9 of `venue up`: within seconds nothing of it runs, and the next start clears Ray's folder."""
    data = tmp_path / "data"
    up = subprocess.Popen(
        [sys.executable, "-m", "venue", "up", "--venue", str(VENUE), "--data", str(data)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert up.stdout is not None
    try:
        said = []
        for line in up.stdout:
            said.append(line)
            if "palaestra login" in line:
                break
        assert up.poll() is None, said
        children = children_of(up.pid)
        # The scheduler, two hosts, the runner, the api, and what vendors share.
        assert len(children) == 6
    finally:
        up.kill()
        up.wait(10.0)
        up.stdout.close()
    give_up_s = time.monotonic() + 30.0
    while any(session_members(child) for child in children):
        assert time.monotonic() < give_up_s, [session_members(child) for child in children]
        time.sleep(0.1)
    folder = Path((data / "ray.folder").read_text().strip())
    Supervisor(Profile.load(VENUE), data).stop()
    assert not folder.exists()


def children_of(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.append(int(entry.name))
    return found


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="looks into Linux's table of sockets")
def test_every_process_of_a_venue_ray_and_all_listens_on_loopback_alone(hall: Hall) -> None:
    """Whoever reaches Ray runs code, so nobody from outside the machine may."""
    sessions = [process.pid for process in hall.supervisor.processes if process.pid is not None]
    members = {member for session in sessions for member in session_members(session)}

    assert len(members) > len(sessions), "Ray's processes belong to the runner's session"
    assert open_to_others(members) == []


def open_to_others(processes: set[int]) -> list[str]:
    """Return listening sockets of these processes whose address is not loopback, as "pid address"."""
    found = []
    for process in processes:
        inodes = set()
        for link in Path(f"/proc/{process}/fd").glob("*"):
            with contextlib.suppress(OSError):
                inodes.add(os.readlink(link).removeprefix("socket:[").removesuffix("]"))
        for table, loopback in (("tcp", "0100007F"), ("tcp6", "00000000000000000000000001000000")):
            for line in Path(f"/proc/{process}/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                address, listening, inode = fields[1], fields[3] == "0A", fields[9]
                mapped = "0000000000000000FFFF00000100007F"
                if listening and inode in inodes and address.split(":")[0] not in (loopback, mapped):
                    found.append(f"{process} {address}")
    return found
