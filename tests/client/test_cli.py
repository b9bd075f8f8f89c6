"""What a person or a script at the terminal can rely on."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from palaestra import PalaestraError, cli
from palaestra.v1 import claim_pb2, episode_pb2, job_pb2
from tests.client.fake_venue import OPERATOR_TOKEN, VENDOR_TOKEN, FakeVenue

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(venue: FakeVenue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Run:
    """Runs a command as acme and returns exit code, stdout, stderr."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("PALAESTRA_ADDRESS", venue.address)
    monkeypatch.setenv("PALAESTRA_TOKEN", VENDOR_TOKEN)

    def command(*words: str) -> tuple[int, str, str]:
        code = cli.run(words)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


@pytest.fixture
def job_file(tmp_path: Path) -> Path:
    """A job in TOML."""
    path = tmp_path / "job.toml"
    path.write_text(
        """
        claim = { duration_s = 60, units = [{ selector = { robot_class = "arm" } }] }
        collect.motion = "sway"
        """
    )
    return path


@pytest.fixture
def ended(venue: FakeVenue) -> job_pb2.Job:
    """A job that succeeded, with a log, an episode and a return curve."""
    job = job_pb2.Job()
    job.CopyFrom(venue.add_job(job_pb2.JOB_STATE_SUCCEEDED))
    job.train.task, job.train.robot_model = "reach", "own_arm"
    job.result.return_before, job.result.return_after = -3.0, -1.5
    job.result.return_curve.extend([-3.0, -2.0, -1.5])
    job.episode_count = 1
    venue.put(job)
    venue.logs[job.name] = ["first", "second"]
    venue.episodes = [episode_pb2.Episode(name="vendors/acme/episodes/e1", job=job.name, robot_model="own_arm")]
    return job


def documents(out: str) -> list[Any]:
    """Return the JSON documents of an output, which must hold nothing else."""
    decoder = json.JSONDecoder()
    found = []
    rest = out.strip()
    while rest:
        value, end = decoder.raw_decode(rest)
        found.append(value)
        rest = rest[end:].strip()
    return found


def test_every_command_prints_only_json_when_asked(
    run: Run, venue: FakeVenue, job_file: Path, ended: job_pb2.Job
) -> None:
    waiting = venue.add_job().name
    name = ended.name
    commands = {
        ("whoami",): "role",
        ("submit", str(job_file)): "name",
        ("submit", str(job_file), "--dry-run"): "claim",
        ("submit", "collect", "--motion", "sway", "--unit", "2*class=arm,maker=Own"): "name",
        ("submit", "train", "reach", "own_arm", "--iterations", "3"): "name",
        ("submit", "evaluate", "reach", "own_arm", "--policy-job", name): "name",
        ("jobs",): "jobs",
        ("jobs", "--state", "succeeded"): "jobs",
        ("job", name): "name",
        ("watch", name): "name",
        ("logs", name): "text",
        ("explain", waiting): "summary",
        ("submit", str(job_file), "--what-if"): "start",
        ("submit", "train", "reach", "own_arm", "--what-if"): "start",
        ("estimates",): "p90Held",
        ("cancel", waiting): "name",
        ("units",): "units",
        ("cells",): "cells",
        ("venue",): "name",
        ("usage",): "usage",
        ("episodes",): "episodes",
        ("episodes", "--job", name): "episodes",
        ("events",): "sequence",
        ("reserve", "--start", "+1h", "--length", "2h", "--unit", "2*class=arm"): "name",
        ("reserve", "--start", "+1h", "--end", "+3h", "--sim-slots", "1", "--dry-run"): "claim",
        ("reservations",): "reservations",
        ("reservation", "show", "r1"): "name",
        ("reservation", "cancel", "r1"): "name",
        ("closures",): "closures",
        ("calendar",): "timeZone",
        ("closure", "add", "--end", "+2h", "--unit", "arm-1", "--stop-running"): "name",
        ("closure", "remove", "c1"): "deleted",
    }
    for words, key in commands.items():
        code, out, err = run(*words, "--json")

        assert (code, err) == (0, ""), words
        assert documents(out), words
        assert all(key in document for document in documents(out)), words


def test_every_command_prints_something_for_people(
    run: Run, venue: FakeVenue, job_file: Path, ended: job_pb2.Job
) -> None:
    waiting = venue.add_job().name
    name = ended.name
    commands = {
        ("whoami",): "vendors/acme",
        ("submit", str(job_file)): "vendors/acme/jobs/",
        ("submit", str(job_file), "--dry-run"): "would accept",
        ("jobs",): name.rpartition("/")[2],
        ("job", name): "-3 before, -1.5 after training",
        ("watch", name): "succeeded",
        ("logs", name): "first\nsecond\n",
        ("explain", waiting): "nine in ten; 89% of 400 held",
        ("submit", str(job_file), "--what-if"): "with 1 x arm instead of 2",
        ("estimates",): "51.0% started by then, pinball loss 1 min 30 s",
        ("cancel", waiting): "cancelled",
        ("units",): "arm-4",
        ("cells",): "L1 fixed",
        ("venue",): "Test ground",
        ("usage",): "1 min 30 s",
        ("usage", "--month", "2026-11"): "units: arm",
        ("episodes",): "own_arm",
        ("events",): "job.changed",
        ("reserve", "--start", "+1h", "--length", "2h", "--unit", "2*class=arm"): "vendors/acme/reservations/",
        ("reserve", "--start", "+1h", "--end", "+3h", "--sim-slots", "1", "--dry-run"): "would hold",
        ("reservations",): "2 x arm",
        ("reservation", "show", "r1"): "active, degraded",
        ("reservation", "cancel", "r1"): "cancelled",
        ("closures",): "unit arm-1, zone north",
        ("calendar",): "venue",
        ("closure", "add", "--end", "+2h", "--why", "cleaning"): "venues/test/closures/",
        ("closure", "remove", "c1"): "deleted",
    }
    for words, expected in commands.items():
        code, out, err = run(*words)

        assert (code, err) == (0, ""), words
        assert expected in out, words


def test_flags_become_the_job_they_say(run: Run, venue: FakeVenue) -> None:
    run(
        *(
            "submit",
            "collect",
            "--motion",
            "sway",
            "--unit",
            "2*class=arm,maker=Own",
            "--unit",
            "model=own_arm",
        ),
        *("--episodes", "3", "--episode-s", "2.5", "--duration-s", "90", "--name", "two", "--seed", "7"),
    )

    job = venue.calls("SubmitJob")[0].request.job
    assert [(u.count, u.selector.robot_class, u.selector.maker, u.selector.robot_model) for u in job.claim.units] == [
        (2, "arm", "Own", ""),
        (1, "", "", "own_arm"),
    ]
    assert (job.collect.motion, job.collect.episodes, job.collect.seed) == ("sway", 3, 7)
    assert job.collect.episode_duration.ToMilliseconds() == 2500
    assert (job.claim.duration.seconds, job.claim.sim_slots, job.display_name) == (90, 0, "two")


def test_flags_become_the_reservation_and_the_closure_they_say(run: Run, venue: FakeVenue) -> None:
    start, end = "2030-05-01T09:00+08:00", "2030-05-01T10:30+08:00"
    run("reserve", "--start", start, "--end", end, "--unit", "name=arm-1", "--scenario", "shelf", "--name", "demo")
    sent = venue.calls("CreateReservation")[-1].request.reservation
    assert (sent.display_name, sent.claim.cell.scenario, sent.claim.duration.seconds) == ("demo", "shelf", 5400)
    assert sent.claim.units[0].selector.unit == "venues/test/units/arm-1"
    assert sent.start_time.ToJsonString() == "2030-05-01T01:00:00Z"
    run("closure", "add", "--start", start, "--end", end, "--rrule", "FREQ=WEEKLY", "--cell", "c", "--zone", "z")
    closed = venue.calls("CreateClosure")[-1].request.closure
    assert (closed.rrule, list(closed.cells), list(closed.zones)) == ("FREQ=WEEKLY", ["venues/test/cells/c"], ["z"])
    assert closed.end_time.ToJsonString() == "2030-05-01T02:30:00Z"
    assert not closed.stop_running


def test_flags_say_what_a_job_waits_for_and_every_wish_for_a_unit(run: Run, venue: FakeVenue) -> None:
    wish = "2-8*class=arm,joints=6,payload_kg=2.5,effector=gripper,sensor=depth,sensor=touch,firmware=1.2,label.lab=b"
    code, _, err = run(
        "submit", "collect", "--motion", "sway", "--unit", wish, "--seats", "1", "--chargers", "2",
        "--placement", "apart", "--sim-first", "--reservation", "monday", "--after", "one", "--after", "two",
        "--deadline", "2026-12-01T18:00:00+01:00",
    )  # fmt: skip

    assert (code, err) == (0, "")
    job = venue.calls("SubmitJob")[0].request.job
    request = job.claim.units[0]
    selector = request.selector
    assert (request.count, request.count_max, selector.robot_class, selector.joint_count_min) == (2, 8, "arm", 6)
    assert (selector.payload_min_kg, selector.end_effector, selector.firmware) == (2.5, "gripper", "1.2")
    assert (list(selector.sensors), dict(selector.labels)) == (["depth", "touch"], {"lab": "b"})
    assert (job.claim.seats, job.claim.chargers, job.claim.placement) == (1, 2, claim_pb2.PLACEMENT_APART)
    assert (job.sim_first, job.reservation) == (True, "vendors/acme/reservations/monday")
    assert list(job.after) == ["vendors/acme/jobs/one", "vendors/acme/jobs/two"]
    assert job.deadline.ToJsonString() == "2026-12-01T17:00:00Z"
    shown = run("job", venue.calls("SubmitJob")[0].request.job.name or next(iter(venue.jobs)))[1]
    assert "2 to 8 x arm lab=b with 6 joints or more for 2.5 kg with gripper with depth with touch firmware" in shown
    assert "apart, 1 seat, 2 chargers" in shown


@pytest.mark.parametrize(
    "wish",
    [
        "0*class=arm", "2-*class=arm", "-2*class=arm", "a*class=arm", "1-b*class=arm", "color=red", "class",
        "label.=b", "label.a=1,label.a=2", "class=arm,class=leg", "joints=many", "payload_kg=",
    ],
)  # fmt: skip
def test_a_wish_that_cannot_be_read_is_typed_wrong(run: Run, venue: FakeVenue, wish: str) -> None:
    code, _, err = run("submit", "collect", "--motion", "sway", "--unit", wish)

    assert (code, venue.calls("SubmitJob")) == (2, [])
    assert "--unit" in err


def test_a_deadline_that_is_no_time_is_typed_wrong(run: Run, venue: FakeVenue) -> None:
    code, _, err = run("submit", "train", "reach", "own_arm", "--deadline", "soon")

    assert (code, venue.calls("SubmitJob")) == (2, [])
    assert "2026-12-01T18:00" in err


def test_a_list_that_was_cut_short_says_so(run: Run, venue: FakeVenue) -> None:
    for _ in range(3):
        venue.add_job()

    code, out, err = run("jobs", "--limit", "2")
    assert (code, len(out.splitlines())) == (0, 3)
    assert "newest 2" in err
    assert run("jobs", "--limit", "4")[2] == ""


def test_a_dry_run_submits_nothing(run: Run, venue: FakeVenue, job_file: Path) -> None:
    assert run("submit", "--dry-run", str(job_file))[0] == 0
    assert not venue.jobs


def test_waiting_for_a_submitted_job_ends_with_its_outcome(run: Run, venue: FakeVenue, job_file: Path) -> None:
    def fail_it() -> None:
        while not venue.jobs:
            time.sleep(0.005)
        job = job_pb2.Job()
        job.CopyFrom(next(iter(venue.jobs.values())))
        job.state = job_pb2.JOB_STATE_FAILED
        job.failure.reason, job.failure.message = "UNIT_FAULT", "arm-1 is jammed"
        venue.put(job)

    thread = threading.Thread(target=fail_it)
    thread.start()
    code, out, err = run("submit", str(job_file), "--wait", "--json")
    thread.join()

    assert code == 1
    assert [document["state"] for document in documents(out)] == ["JOB_STATE_FAILED"]
    assert json.loads(err)["error"]["reason"] == "UNIT_FAULT"


def test_operators_stop_fault_and_reset_units(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PALAESTRA_TOKEN", OPERATOR_TOKEN)

    assert "stopped (stop)" in run("unit", "stop", "arm-1")[1]
    assert documents(run("unit", "reset", "arm-1", "--json")[1])[0]["state"] == "UNIT_STATE_IDLE"
    assert "encoder_dropout" in run("unit", "fault", "arm-1", "encoder_dropout")[1]


def test_a_refusal_says_reason_and_help_and_exits_with_1(run: Run) -> None:
    code, out, err = run("unit", "stop", "arm-1")

    assert (code, out) == (1, "")
    first, second = err.splitlines()
    assert first == "error: a vendor may not call StopUnit [ROLE_DENIED]"
    assert second == "  The token's role may not call this method."


def test_a_refusal_is_json_too_when_asked(run: Run) -> None:
    code, out, err = run("job", "nothing", "--json")

    assert (code, out) == (1, "")
    error = json.loads(err)["error"]
    assert error["reason"] == "NOT_FOUND"
    assert "vendors/acme/jobs/nothing" in error["message"]
    assert error["help"]


@pytest.mark.parametrize(
    "words",
    [
        ("jobz",),
        ("jobs", "--stat", "queued"),
        ("jobs", "--state", "lost"),
        ("job",),
        ("submit", "nowhere.toml"),
        ("submit", "collect", "--motion", "sway", "--unit", "0*class=arm"),
        ("submit", "collect", "--motion", "sway", "--unit", "kind=arm"),
        ("unit", "fault", "arm-1", "fire"),
    ],
)
def test_what_is_typed_wrong_exits_with_2(run: Run, venue: FakeVenue, words: tuple[str, ...]) -> None:
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")

    code, out, err = run(*words, "--json")
    assert (code, out) == (2, "")
    assert json.loads(err)["error"]["reason"] == "USAGE"
    assert not venue.jobs


@pytest.mark.parametrize("word", ["data", "slot", "unit"])
def test_a_noun_alone_says_what_there_is_and_not_that_it_is_an_error(run: Run, word: str) -> None:
    code, out, err = run(word)
    assert (code, out) == (2, "")
    assert err.startswith(f"Usage: palaestra {word} ")
    assert "[USAGE]" not in err


def test_a_job_file_with_an_unknown_key_is_refused_with_a_suggestion(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "job.toml"
    path.write_text("[claim]\ndurations = 60\n")

    code, _, err = run("submit", str(path))
    assert code == 1
    assert "claim.durations: no such field; did you mean duration_s?" in err


def test_text_of_others_cannot_steer_the_terminal(run: Run, venue: FakeVenue, ended: job_pb2.Job) -> None:
    ended.display_name = "[bold]red[/bold]\x1b[31m"
    venue.put(ended)
    venue.logs[ended.name] = ["\x1b]0;title\x07gone\rover"]

    for words in (("jobs",), ("job", ended.name), ("logs", ended.name), ("watch", ended.name)):
        out = run(*words)[1]
        assert not set(out) & set("\x1b\x07\r"), words
    assert "[bold]red[/bold]" in run("jobs")[1]


def test_events_end_at_now_unless_followed(run: Run, venue: FakeVenue) -> None:
    for _ in range(5):
        venue.add_job()

    assert [event["sequence"] for event in documents(run("events", "--after", "2", "--json")[1])] == [
        "3",
        "4",
        "5",
    ]
    assert run("events", "--after", "5")[:2] == (0, "")


def test_a_login_is_kept_private_and_becomes_the_current_one(
    run: Run, venue: FakeVenue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stored file is 0600 in a folder 0700, whatever the umask; the token is on no output."""
    monkeypatch.delenv("PALAESTRA_ADDRESS")
    monkeypatch.delenv("PALAESTRA_TOKEN")
    source = tmp_path / "acme.toml"
    source.write_text(f'address = "{venue.address}"\ntoken = "{VENDOR_TOKEN}"\nvendor = "vendors/acme"\n')
    source.chmod(0o600)
    old = os.umask(0)
    try:
        code, out, err = run("login", str(source), "--profile", "lab")
    finally:
        os.umask(old)

    stored = tmp_path / "config" / "palaestra" / "logins" / "lab.toml"
    assert (code, err) == (0, "")
    assert stored.stat().st_mode & 0o777 == 0o600
    assert stored.parent.stat().st_mode & 0o777 == 0o700
    assert VENDOR_TOKEN not in out
    assert documents(run("whoami", "--json")[1])[0]["vendor"] == "vendors/acme"
    assert run("whoami", "--profile", "other")[0] == 1


def test_a_login_that_others_can_read_is_warned_about(
    run: Run, venue: FakeVenue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PALAESTRA_ADDRESS")
    monkeypatch.delenv("PALAESTRA_TOKEN")
    source = tmp_path / "acme.toml"
    source.write_text(f'address = "{venue.address}"\ntoken = "{VENDOR_TOKEN}"\n')
    source.chmod(0o644)

    assert "can be read by others" in run("login", str(source))[2]
    stored = tmp_path / "config" / "palaestra" / "logins" / "default.toml"
    stored.chmod(0o640)
    assert "can be read by others" in run("whoami")[2]


class _Exports(BaseHTTPRequestHandler):
    """Serves an export to acme, and a broken one."""

    body = b""
    promised = 0
    asked: list[tuple[str, str | None]] = []  # noqa: RUF012 - one server at a time

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers["Authorization"]))
        if "missing" in self.path:
            problem = json.dumps({"reason": "NOT_FOUND", "detail": "no such job", "status": 404}).encode()
            self.send_response(404)
            self.send_header("Content-Length", str(len(problem)))
            self.end_headers()
            self.wfile.write(problem)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(self.promised or len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[_Exports]]:
    """A venue's HTTP side."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("meta/info.json", "{}")
    _Exports.body, _Exports.promised, _Exports.asked = buffer.getvalue(), 0, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Exports)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setenv("PALAESTRA_API_URL", f"http://127.0.0.1:{server.server_address[1]}")
    yield _Exports
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_export_arrives_whole(run: Run, exports: type[_Exports], tmp_path: Path) -> None:
    out = tmp_path / "episodes.zip"

    code, text, err = run("episodes", "export", "01abc", str(out), "--json")

    assert (code, err) == (0, "")
    assert out.read_bytes() == exports.body
    assert documents(text)[0]["sizeBytes"] == str(len(exports.body))
    assert exports.asked == [("/v1/vendors/acme/jobs/01abc/export?format=lerobot", f"Bearer {VENDOR_TOKEN}")]


def test_an_export_overwrites_nothing(run: Run, exports: type[_Exports], tmp_path: Path) -> None:
    out = tmp_path / "episodes.zip"
    out.write_text("mine")

    assert run("episodes", "export", "01abc", str(out))[0] == 2
    assert out.read_text() == "mine"
    assert not exports.asked


@pytest.mark.parametrize("broken", ["short", "not a zip", "missing"])
def test_an_export_that_breaks_leaves_nothing(run: Run, exports: type[_Exports], tmp_path: Path, broken: str) -> None:
    if broken == "short":
        exports.promised = len(exports.body) + 100
    elif broken == "not a zip":
        exports.body = exports.body[:-30]

    code, _, err = run("episodes", "export", "missing" if broken == "missing" else "01abc", str(tmp_path / "out.zip"))

    assert code == 1
    assert ("no such job [NOT_FOUND]" if broken == "missing" else "[SHUTTING_DOWN]") in err
    assert not list(tmp_path.glob("*.zip")) + list(tmp_path.glob(".*"))


def _command(*words: str) -> list[str]:
    return [sys.executable, "-c", "import sys; from palaestra.cli import main; main(sys.argv[1:])", *words]


def test_help_imports_neither_grpc_nor_protobuf_nor_rich() -> None:
    """They cost several times as much as all the rest."""
    code = (
        "import sys; from palaestra.cli import run; run(['--help']); run(['submit', 'collect', '--help']);"
        "heavy = ('grpc', 'google.protobuf', 'rich.console', 'palaestra.errors');"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout.splitlines()[-1] == "[]"
    assert "Drive units" in done.stdout


@pytest.mark.parametrize("words", [("watch",), ("logs", "-f")])
def test_an_interrupt_ends_a_stream_with_130_and_no_traceback(
    venue: FakeVenue, tmp_path: Path, words: tuple[str, ...]
) -> None:
    name = venue.add_job().name
    venue.logs[name] = ["first"]
    environ = {
        **os.environ,
        "XDG_CONFIG_HOME": str(tmp_path),
        "PALAESTRA_ADDRESS": venue.address,
        "PALAESTRA_TOKEN": VENDOR_TOKEN,
    }
    process = subprocess.Popen(
        # A shell that runs the tests in the background has interrupts ignored, and children inherit that. Not by
        # preexec_fn: Python would fork with the threads of gRPC in the midst of something.
        ["env", "--default-signal=INT", *_command(*words, name)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline(), process.communicate(timeout=20)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)

    assert process.returncode == 130
    assert err == ""


def test_a_reader_that_leaves_early_is_no_error(venue: FakeVenue, tmp_path: Path) -> None:
    """As in `palaestra logs JOB | head -1`."""
    job = venue.add_job(job_pb2.JOB_STATE_SUCCEEDED)
    venue.logs[job.name] = ["x" * 3000] * 200
    environ = {**os.environ, "PALAESTRA_ADDRESS": venue.address, "PALAESTRA_TOKEN": VENDOR_TOKEN}
    process = subprocess.Popen(
        _command("logs", job.name), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ
    )
    assert process.stdout is not None
    assert process.stdout.readline(), process.communicate(timeout=20)
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    process.stderr.close()
    process.wait(timeout=30)

    assert err == ""


def test_a_venue_that_does_not_answer_is_said_so(run: Run, venue: FakeVenue, monkeypatch: pytest.MonkeyPatch) -> None:
    venue.fail("GetIdentity", *[PalaestraError("SHUTTING_DOWN", "stopping")] * 5)

    code, out, err = run("whoami")

    assert (code, out) == (1, "")
    assert "stopping [SHUTTING_DOWN]" in err
