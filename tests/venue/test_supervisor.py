"""The supervisor where a venue does not come up: clear errors, and nothing left behind."""

import socket
import threading
import time
from pathlib import Path

import pytest

from venue.process import session_members
from venue.profile import Profile
from venue.supervisor import Supervisor, VenueError

HALL = """
[venue]
id = "hall"
width_m = 10.0
depth_m = 10.0
[ports]
scheduler = 0
api = 0
[[vendor]]
id = "acme"
[[host]]
id = "one"
[[unit]]
id = "arm-1"
robot = "own_arm"
host = "one"
x_m = 1.0
y_m = 1.0
"""


def supervisor(folder: Path, text: str = HALL, **fields: object) -> Supervisor:
    path = folder / "hall.toml"
    path.write_text(text)
    return Supervisor(Profile.load(path), folder / "data", **fields)  # type: ignore[arg-type]


def test_a_process_that_refuses_its_settings_is_quoted(tmp_path: Path) -> None:
    made = supervisor(tmp_path, HALL + "[scheduler]\nlease_ttl_s = -1\n")
    try:
        with pytest.raises(VenueError, match=r"(?s)the scheduler did not start.*lease_ttl_s"):
            made.start()
    finally:
        made.stop()


def test_starting_can_be_given_up_at_any_moment(tmp_path: Path) -> None:
    """The interrupt comes while hosts and runner are starting: an error, and a stop in time that leaves nothing."""
    interrupt = threading.Event()
    made = supervisor(
        tmp_path, say=lambda text: interrupt.set() if text == "starting api" else None, interrupt=interrupt
    )
    try:
        with pytest.raises(VenueError, match="stopped while starting"):
            made.start()
        sessions = [process.pid for process in made.processes]
        assert all(sessions)
    finally:
        begin_s = time.monotonic()
        made.stop()
        took_s = time.monotonic() - begin_s

    assert took_s < 10.0
    assert [session_members(session or 0) for session in sessions] == [[]] * len(sessions)
    assert not Path((tmp_path / "data" / "ray.folder").read_text().strip()).exists()
    # A second stop does nothing.
    made.stop()


def test_a_port_in_use_is_named_with_its_setting(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        made = supervisor(tmp_path, HALL.replace("scheduler = 0", f"scheduler = {port}"))
        try:
            with pytest.raises(VenueError, match=rf"port {port}, \[ports\] scheduler"):
                made.start()
        finally:
            made.stop()


def test_what_vendors_share_is_a_process_of_the_venue_where_its_file_says_so(tmp_path: Path) -> None:
    plain = supervisor(tmp_path)
    assert "sharing" not in [process.name for process in plain.processes]
    assert plain.sharing_url == ""
    plain.stop()
    sharing = supervisor(tmp_path, HALL.replace("api = 0", "api = 0\nsharing = 0") + "[sharing]\nenabled = true\n")
    words = sharing.process("sharing").command
    listen = words[words.index("--listen") + 1]
    assert sharing.sharing_url == f"http://{listen}"
    assert words[words.index("--catalogue") + 1] == str(sharing.data / "store" / "catalogue.db")
    sharing.stop()


def test_a_catalogue_in_postgresql_is_told_to_those_who_ask_it_and_a_password_to_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment comes before the file, and is inherited instead of shown."""
    url = "postgresql://palaestra@db.example/hall"
    hall = (
        HALL.replace("api = 0", "api = 0\nsharing = 0")
        + f'[sharing]\nenabled = true\n[catalogue]\ndatabase = "{url}"\n'
    )
    for environment, told in (("", url), ("postgresql://palaestra:hidden@db.example/hall", "-")):
        monkeypatch.setenv("PALAESTRA_CATALOGUE", environment)
        made = supervisor(tmp_path, hall)
        for name in ("scheduler", "sharing"):
            words = made.process(name).command
            assert words[words.index("--catalogue") + 1] == told
            assert "hidden" not in " ".join(words)
        made.stop()


def test_a_folder_serves_one_supervisor_at_a_time(tmp_path: Path) -> None:
    first = supervisor(tmp_path)
    try:
        with pytest.raises(VenueError, match="running already"):
            supervisor(tmp_path)
    finally:
        first.stop()
    supervisor(tmp_path).stop()


def test_a_folder_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")

    with pytest.raises(VenueError, match="data cannot be used"):
        supervisor(tmp_path)


def test_what_a_killed_venue_has_left_of_ray_is_cleared(tmp_path: Path) -> None:
    made = supervisor(tmp_path)
    made.stop()
    left = tmp_path / "pal-ray-left"
    (left / "session").mkdir(parents=True)
    foreign = tmp_path / "precious"
    foreign.mkdir()
    note = tmp_path / "data" / "ray.folder"

    note.write_text(f"{left}\n")
    supervisor(tmp_path).stop()
    note.write_text(f"{foreign}\n")
    supervisor(tmp_path).stop()

    assert not left.exists()
    assert foreign.exists()
