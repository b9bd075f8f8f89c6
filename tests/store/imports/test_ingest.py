"""From a path to episodes of a store: all or nothing, once, by a confined process."""

import io
import itertools
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store import LocalObjects, read_episode
from store.common import common_table
from store.errors import ExportRefused, ImportRefused
from store.imports import Limits, Mapping, frames, import_path, sandbox, suggest
from store.imports.mapping import apply
from store.imports.raw import Options, RawEpisode, RawSignal
from store.imports.vocabulary import TABLE
from tests.store.imports import sources

ACME = "vendors/acme"
CSV_MAP = """
task = "wave"
clock_source = "ntp"
[robot]
model = "arm_2"
maker = "Acme"
[[signal]]
name = "observation.state"
from = ["a", "b"]
unit = "deg"
names = ["shoulder", "elbow"]
"""
LEROBOT_MAP = """
[[signal]]
name = "observation.state"
from = ["observation.state"]
unit = "rad"
[[signal]]
name = "action"
from = ["action"]
unit = "rad"
"""
SHARED = Path(os.environ.get("PALAESTRA_SHARED", "../shared")) / "data" / "robodata"
real = pytest.mark.skipif(not SHARED.is_dir(), reason=f"no real recordings at {SHARED.name}")


def nothing_in(root: Path) -> bool:
    """Return whether a store has neither objects nor imports, finished or not."""
    return not [path for path in root.rglob("*") if path.is_file()]


def test_a_csv_becomes_an_episode_with_si_units_and_its_source(tmp_path: Path) -> None:
    """Degrees turn into radians; the header tells format, file, hashes and mapping."""
    values = sources.write_csv(tmp_path / "x.csv")
    mapping = Mapping.parse(CSV_MAP)

    done = import_path(tmp_path / "x.csv", tmp_path / "store", vendor=ACME, mapping=mapping)

    (one,) = done.episodes
    episode = read_episode(LocalObjects(tmp_path / "store" / "objects").path_of(one.sha256), sha256=one.sha256)
    assert np.array_equal(episode.signals["observation.state"], np.deg2rad(values).astype(np.float32))
    assert episode.header.units["observation.state"] == "rad" and episode.header.clock_source == "ntp"
    source = episode.header.source
    assert source is not None and source["sha256"] == done.files[0].sha256 == done.sha256
    assert (source["format"], source["file"], source["mapping_sha256"]) == ("csv", "x.csv", mapping.sha256)
    assert one.left_out == ("a#2",)


def test_the_same_content_is_imported_once_whatever_it_is_called(tmp_path: Path) -> None:
    """Again: the receipt answers. Under another name or in another store: the same episodes."""
    sources.write_csv(tmp_path / "x.csv")
    mapping = Mapping.parse(CSV_MAP)

    first = import_path(tmp_path / "x.csv", tmp_path / "store", vendor=ACME, mapping=mapping)
    again = import_path(tmp_path / "x.csv", tmp_path / "store", vendor=ACME, mapping=mapping)
    elsewhere = import_path(tmp_path / "x.csv", None, vendor=ACME, mapping=mapping)

    assert (first.again, again.again, elsewhere.dry_run) == (False, True, True)
    assert again.episodes == first.episodes == elsewhere.episodes
    assert len(list((tmp_path / "store" / "imports").iterdir())) == 1


def test_an_object_that_was_altered_is_made_again(tmp_path: Path) -> None:
    """A receipt whose episodes are not whole is no answer."""
    sources.write_csv(tmp_path / "x.csv")
    mapping, store = Mapping.parse(CSV_MAP), tmp_path / "store"
    (one,) = import_path(tmp_path / "x.csv", store, vendor=ACME, mapping=mapping).episodes
    path = LocalObjects(store / "objects").path_of(one.sha256)
    path.write_bytes(b"broken")

    again = import_path(tmp_path / "x.csv", store, vendor=ACME, mapping=mapping)

    assert not again.again and LocalObjects(store / "objects").verify(one.sha256).sha256 == one.sha256


def test_a_value_that_is_not_finite_leaves_nothing_behind(tmp_path: Path) -> None:
    """It is in the second episode: the first one does not stay either."""
    import pyarrow.parquet as pq

    sources.write_lerobot(tmp_path / "set", lengths=(2, 6))
    file = tmp_path / "set" / "data" / "chunk-000" / "file-000.parquet"
    table = pq.read_table(file)
    values = np.array(table["action"].to_pylist(), np.float32)
    values[3, 1] = np.nan
    place = table.schema.get_field_index("action")
    table = table.set_column(place, "action", pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), 2))
    pq.write_table(table, file)

    with pytest.raises(ImportRefused, match="episode 1: action: row 1: elbow is nan"):
        import_path(tmp_path / "set", tmp_path / "store", vendor=ACME, mapping=Mapping.parse(LEROBOT_MAP))
    assert nothing_in(tmp_path / "store")


def test_a_file_with_nothing_but_a_mark_of_its_encoding_is_of_no_format(tmp_path: Path) -> None:
    """It has no first line."""
    (tmp_path / "x.csv").write_bytes(b"\xef\xbb\xbf")

    with pytest.raises(ImportRefused, match=r"x\.csv: none of"):
        import_path(tmp_path / "x.csv", None, vendor=ACME)


def test_an_unknown_robot_is_refused_with_the_closest_one(tmp_path: Path) -> None:
    """Whoever names it: the caller, the mapping, the source; and where nobody does."""
    sources.write_lerobot(tmp_path / "set")
    mapping = Mapping.parse(LEROBOT_MAP)

    with pytest.raises(ImportRefused, match=r"unknown robot 'unitree_h2'; did you mean unitree_h1\?"):
        import_path(tmp_path / "set", tmp_path / "store", vendor=ACME, robot="unitree_h2", mapping=mapping)
    sources.write_csv(tmp_path / "x.csv")
    with pytest.raises(ImportRefused, match="which robot is it"):
        no_robot = Mapping.parse(CSV_MAP.replace('[robot]\nmodel = "arm_2"\nmaker = "Acme"\n', ""))
        import_path(tmp_path / "x.csv", tmp_path / "store", vendor=ACME, mapping=no_robot)
    assert nothing_in(tmp_path / "store")


def test_what_a_killed_import_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    """Its folder bears the number of a process that is no more; that of a living one stays."""
    nobody = 2**22 + 1  # beyond the kernel's greatest number of a process
    left, living = (tmp_path / "imports" / f".x.{pid}.partial" for pid in (nobody, os.getpid()))
    for folder in (left, living):
        (folder / "spool").mkdir(parents=True)
    sources.write_csv(tmp_path / "x.csv")

    import_path(tmp_path / "x.csv", tmp_path, vendor=ACME, mapping=Mapping.parse(CSV_MAP))

    assert not left.exists() and living.exists()
    with pytest.raises(ImportRefused, match=r"vendor 'vendors/\.\.'"):
        import_path(tmp_path / "x.csv", tmp_path, vendor="vendors/..")


def test_links_and_pipes_are_no_sources(tmp_path: Path) -> None:
    """Neither as the source nor within it; a pipe does not make anybody wait."""
    sources.write_lerobot(tmp_path / "set")
    (tmp_path / "link").symlink_to(tmp_path / "set")
    with pytest.raises(ImportRefused, match="link: a link"):
        import_path(tmp_path / "link", None, vendor=ACME)
    os.mkfifo(tmp_path / "set" / "pipe")
    with pytest.raises(ImportRefused, match="pipe: no plain file"):
        import_path(tmp_path / "set", None, vendor=ACME)
    (tmp_path / "set" / "pipe").unlink()
    (tmp_path / "set" / "data" / "more").symlink_to("/etc")
    with pytest.raises(ImportRefused, match="more: a link"):
        import_path(tmp_path / "set", None, vendor=ACME)


def test_a_source_without_units_is_refused_and_a_mapping_suggested(tmp_path: Path) -> None:
    """The suggestion names every signal; filled in, it is a mapping."""
    sources.write_lerobot(tmp_path / "set")
    with pytest.raises(ImportRefused, match="no signal says by itself"):
        import_path(tmp_path / "set", None, vendor=ACME)

    text = suggest(tmp_path / "set")

    assert 'robot = "own_arm"' in text and '# from = ["action"]' in text
    filled = "\n".join(line.removeprefix("# ") for line in text.splitlines() if line.removeprefix("# ")[:4] in _KEPT)
    done = import_path(tmp_path / "set", None, vendor=ACME, mapping=Mapping.parse(filled.replace('"?"', '"rad"')))
    assert [one.rows for one in done.episodes] == [5, 7]


_KEPT = ("[[si", "name", "from", "unit", "task", "robo", "drop")
_PROBE = """
import ctypes, json, os, socket, sys
from pathlib import Path
from store.imports.confine import Limits, confine
held = confine(Path(sys.argv[1]), Limits(memory_bytes=2 << 30))
def tried(act):
    try:
        act()
    except (OSError, MemoryError) as error:
        return type(error).__name__
    return "done"
print(json.dumps({
    "held": held,
    "source": tried(lambda: open(sys.argv[1]).read()),
    "secret": tried(lambda: open(sys.argv[2]).read()),
    "data": tried(lambda: open(sys.argv[4]).read()),
    "list": tried(lambda: os.listdir(os.path.dirname(sys.argv[2]))),
    "write": tried(lambda: open(sys.argv[1], "a").write("x")),
    "make": tried(lambda: open(sys.argv[2] + "2", "w").write("x")),
    "connect": tried(lambda: socket.create_connection(("127.0.0.1", int(sys.argv[3])), 10)),
    "path": tried(lambda: socket.socket(socket.AF_UNIX).connect(sys.argv[5])),
    "kill": tried(lambda: os.kill(os.getppid(), 0)),
    "memory": tried(lambda: bytearray(3 << 30)),
    "run": tried(lambda: os.execv("/bin/true", ["true"])),
}))
"""


def test_the_process_that_reads_sees_its_source_and_nothing_else(tmp_path: Path) -> None:
    """Nor what lies beside the rooms' code, as a venue's data do. What this kernel has no guard for is not asked."""
    source, secret, code = tmp_path / "source", tmp_path / "secret" / "key", Path(__file__).parents[3]
    source.write_text("x")
    secret.parent.mkdir()
    secret.write_text("key")
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as beside:
        # A short path: a socket's has 108 bytes at most.
        named = tempfile.mkdtemp()
        beside.bind(f"{named}/s")
        beside.listen()
        port = str(server.getsockname()[1])
        run = [sys.executable, "-c", _PROBE, str(source), str(secret), port, str(code / "pyproject.toml"), f"{named}/s"]
        where = {**os.environ, "PYTHONPATH": os.pathsep.join([str(code), os.environ.get("PYTHONPATH", "")])}
        answer = subprocess.run(run, capture_output=True, check=True, timeout=120, env=where)
        shutil.rmtree(named)

    said = json.loads(answer.stdout)
    assert said["source"] == "done" and said["memory"] == "MemoryError"
    assert said["write"] == "OSError" or "files" in said["held"]
    if "network" in said["held"]:
        assert said["connect"] in ("OSError", "PermissionError")
    if platform.machine() == "x86_64" and Path("/proc/sys/kernel/seccomp/actions_avail").exists():
        assert "calls" in said["held"]
        assert {said["path"], said["kill"]} == {"PermissionError"}
    if "files" in said["held"]:
        refused = {said[what] for what in ("secret", "data", "list", "write", "make", "run")}
        assert refused == {"PermissionError"}


def test_a_reader_that_takes_too_long_or_too_much_is_ended_by_name(tmp_path: Path) -> None:
    """A time that is over before it starts; 64 MB that unpack from 64 kB where 1 MB may be had."""
    sources.write_csv(tmp_path / "x.csv")
    mapping = Mapping.parse(CSV_MAP)

    with pytest.raises(ImportRefused, match=r"x\.csv: takes longer than an import may"):
        import_path(tmp_path / "x.csv", tmp_path / "store", vendor=ACME, mapping=mapping, limits=Limits(time_s=0.0))
    sources.zip_bomb(tmp_path / "x.npz", 64 << 20)
    with pytest.raises(ImportRefused, match=r"x\.npz: takes more memory than an import may"):
        small, rate = Limits(memory_bytes=1 << 20), Mapping.parse("[time]\nrate_hz = 1")
        import_path(tmp_path / "x.npz", tmp_path / "store", vendor=ACME, mapping=rate, limits=small)
    assert nothing_in(tmp_path / "store")


@given(data=st.binary(max_size=300))
@settings(max_examples=100, deadline=None)
def test_whatever_a_reader_answers_is_a_frame_or_refused(data: bytes) -> None:
    """The receiver believes none of it."""
    source = io.BytesIO(data)
    try:
        table = frames.read_table(source)
        if table is not None:
            frames.read_episode(source, table, 1000)
    except ImportRefused:
        pass


def test_an_answer_that_claims_too_much_is_refused_before_anything_is_allocated(tmp_path: Path) -> None:
    """A hundred bytes that announce eight exabytes."""
    row = {"name": "q", "rows": 1 << 60, "names": ["a"], "unit": None, "frame": None, "role": None, "texts": None}
    words = dict.fromkeys(("place", "task", "robot", "clock_source", "status", "cause"), "")
    out = io.BytesIO()
    frames.write_table(out, {"kind": "episode", "start_ns": 0, "signals": [row], "passed_over": [], **words})
    out.seek(0)
    table = frames.read_table(out)
    assert table is not None

    with pytest.raises(ImportRefused, match="more than is imported at once"):
        frames.read_episode(out, table, 1000)


def test_a_start_that_is_no_time_is_refused() -> None:
    """JSON can say infinity, which is no whole number."""
    table = {"kind": "episode", "start_ns": float("inf"), "signals": [], "passed_over": []}
    words = dict.fromkeys(("place", "task", "robot", "clock_source", "status", "cause"), "")

    with pytest.raises(ImportRefused, match="no episode"):
        frames.read_episode(io.BytesIO(), {**table, **words}, 1000)


def answers(program: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the reader be this Python program."""
    script = folder / "reader"
    script.write_text(f"#!{sys.executable}\n{program}\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))


def test_a_reader_whose_answer_is_broken_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It announces four gigabytes and goes on writing; nobody reads them, so that it never ends by itself."""
    answers("import sys\nwhile True: sys.stdout.buffer.write(bytes([255]) * 65536)", tmp_path, monkeypatch)
    monkeypatch.setattr(sandbox, "_LAST_S", 0.1)

    with pytest.raises(ImportRefused, match="x: the reader's answer is no frame"):
        list(sandbox.read(tmp_path / "x", "csv", Options(), Limits(time_s=20.0)))


def test_a_reader_that_never_stops_is_stopped_by_what_has_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of its episodes is small enough; together they would fill the disk."""
    frame = io.BytesIO()
    frames.write_episode(frame, raw([0.0, 1.0], [[1.0], [2.0]]))
    answers(f"import sys\nwhile True: sys.stdout.buffer.write({frame.getvalue()!r})", tmp_path, monkeypatch)

    with pytest.raises(ImportRefused, match="x: more than is imported at once: 6 episodes"):
        list(itertools.islice(sandbox.read(tmp_path / "x", "csv", Options(max_values=10), Limits(time_s=20.0)), 100))


def test_more_text_than_is_read_is_refused_by_who_would_write_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise it would be said to be broken."""
    monkeypatch.setattr(frames, "MAX_TABLE_BYTES", 1000)
    long = RawSignal("said", np.zeros(1), ["x" * 1000], ("said",))

    with pytest.raises(ImportRefused, match=r"here: 1\d{3} bytes of texts"):
        frames.write_episode(io.BytesIO(), RawEpisode("here", (long,)))


def raw(time_s: list[float], values: list[list[float]]) -> RawEpisode:
    """Return an episode of one signal, `q`."""
    signal = RawSignal("q", np.array(time_s), np.array(values), tuple("ab"[: len(values[0])]))
    return RawEpisode("here", (signal,))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x = 1", "'x': one of"),
        ("robot = 3", "robot 3"),
        ('[robot]\nmodel = "A/B"\nmaker = "Acme"', "robot.model 'A/B'"),
        ('clock_source = "sundial"', "clock_source 'sundial'"),
        ('drop = ["all"]', "drop"),
        ('[[signal]]\nname = "a.b"', "signal 1: from"),
        ("[time]\nrate_hz = -1", "rate_hz -1"),
        ('[csv]\ndelimiter = "ab"', "delimiter"),
        ("a = [", "mapping"),
        ('started_at = "yesterday"', "started_at"),
    ],
)
def test_a_mapping_that_is_wrong_is_refused_with_its_field(text: str, reason: str) -> None:
    """Before anything is read."""
    with pytest.raises(ImportRefused, match=reason):
        Mapping.parse(text)


def test_rows_that_miss_a_value_or_repeat_a_time_are_dropped_only_on_request() -> None:
    """And they are counted."""
    episode = raw([0.0, 1.0, 1.0, 2.0], [[0, 1], [1, 2], [3, 4], [np.nan, 5]])
    text = '[[signal]]\nname = "observation.state"\nfrom = ["q"]\nunit = "rad"'
    with pytest.raises(ImportRefused, match="row 3: a is nan"):
        apply(episode, Mapping.parse(text))
    with pytest.raises(ImportRefused, match=r"row 2: 1\.0 s, the time of the row before"):
        apply(episode, Mapping.parse('drop = ["missing"]\n' + text))

    mapped = apply(episode, Mapping.parse('drop = ["missing", "repeated"]\n' + text))

    assert mapped.time_s.tolist() == [0.0, 1.0] and mapped.dropped_rows == 2


def test_signals_at_other_rates_become_streams_with_their_own_times() -> None:
    """A wrench at twice the joints' rate stays at its rate."""
    fast = RawSignal(
        "w", np.arange(10) / 20, np.zeros((10, 6)), tuple("abcdef"), "N, N m", "wrist", "observation.wrench"
    )
    slow = RawSignal("q", np.arange(5) / 10, np.ones((5, 1)), ("a",), "rad", None, "observation.state")

    mapped = apply(RawEpisode("here", (fast, slow)), Mapping())

    stream = mapped.streams["observation.wrench"]
    assert len(mapped.time_s) == 5 and stream.stream.rate_hz == pytest.approx(20.0) and len(stream.time_s) == 10


def test_the_table_of_the_vocabulary_is_what_the_robots_files_say() -> None:
    """Made anew, it is the same; if not: `python -m sim.vocabulary.table store/imports/vocabulary.json`."""
    from sim.vocabulary.table import text

    assert TABLE.read_text("utf-8") == text()


@real
def test_four_bodies_walk_in_one_table_with_masks(tmp_path: Path) -> None:
    """One human's walk on the robots of four makers: canonical angles are those that `sim.vocabulary` computes."""
    from sim.vocabulary.recording import find_format, read_recording

    episodes, expected = [], []
    for name in ("ATLAS", "TALOS", "UnitreeG1", "UnitreeH1"):
        model = "locomujoco_" + name.lower().replace("unitree", "unitree_")
        form = find_format(model)
        columns = json.dumps(list(form.names.joint_names))
        mapping = Mapping.parse(
            '[time]\nrate_hz = 100\n[[signal]]\nname = "observation.state"\nfrom = ["q"]\nunit = "rad"\n'
            f'columns = {columns}\n[[signal]]\nname = "observation.velocity"\nfrom = ["dq"]\nunit = "rad/s"\n'
            f"columns = {columns}"
        )
        path = SHARED / "walk_four_bodies" / f"02-constspeed_{name}.npz"
        done = import_path(path, tmp_path / "store", vendor=ACME, robot=model, mapping=mapping)
        objects = LocalObjects(tmp_path / "store" / "objects")
        episodes.append(read_episode(objects.path_of(done.episodes[0].sha256)))
        expected.append((read_recording(path, form), form.names.mask))

    table = common_table(episodes, "humanoid")

    assert table.num_rows == 4 * 500
    states = np.array(table["observation.state"].to_pylist())
    masks = np.array(table["observation.state.mask"].to_pylist())
    for i, (values, mask) in enumerate(expected):
        rows = slice(500 * i, 500 * (i + 1))
        assert np.allclose(states[rows], values, atol=1e-6) and (masks[rows] == mask).all()
    assert len({tuple(row) for row in masks[::500].tolist()}) > 1
    assert not np.array(table["action.mask"].to_pylist()).any()


def test_bodies_of_another_kind_do_not_go_into_one_table(house: Any, make_header: Any) -> None:
    """Nor does a robot that the vocabulary does not know."""
    other = read_episode(house.seal(make_header(robot_model="nobodys"), rows=3).path)

    with pytest.raises(ExportRefused, match="unknown robot 'nobodys'"):
        common_table([other], "humanoid")
    with pytest.raises(ExportRefused, match="body 'snake'"):
        common_table([], "snake")


@real
def test_the_dirty_csv_of_a_real_arm_is_imported(tmp_path: Path) -> None:
    """Decimal commas, empty columns, missing cells: 7,409 rows of which those with gaps are counted."""
    text = (
        'drop = ["missing", "repeated"]\n[robot]\nmodel = "universal_robots_ur3"\nmaker = "Universal Robots"\n'
        '[[signal]]\nname = "observation.velocity"\nunit = "rad/s"\nfrom = '
        + json.dumps([f"Speed_J{i}" for i in range(6)])
    )
    (path,) = (SHARED / "ur3_cobotops").glob("*.csv")

    (one,) = import_path(path, None, vendor=ACME, mapping=Mapping.parse(text)).episodes

    assert one.rows + one.dropped_rows == 7409 and one.dropped_rows < 100
    assert one.header["started_at_ns"] == 1_666_772_241_847_000_000


@real
def test_real_failures_logs_and_bags_are_read(tmp_path: Path) -> None:
    """Windows with their causes; 88 of them in the first file."""
    text = (
        '[robot]\nmodel = "arm"\nmaker = "UCI"\n[[signal]]\nname = "observation.wrench"\nfrom = ["wrench"]\nunit = "1"'
    )
    done = import_path(SHARED / "uci_robot_failures" / "lp1.data", None, vendor=ACME, mapping=Mapping.parse(text))
    assert len(done.episodes) == 88
    assert {one.outcome["cause"] for one in done.episodes} == {"", "collision", "obstruction", "fr_collision"}
    pytest.importorskip("rosbags")
    bag = SHARED / "ros_samples" / "datasamples" / "fake_joint_state.bag"
    (one,) = import_path(bag, None, vendor=ACME, robot="universal_robots_ur5e").episodes
    assert one.rows == 2725 and one.header["units"]["observation.state"] == "rad"
