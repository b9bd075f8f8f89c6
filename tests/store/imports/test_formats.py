"""Every format gives the numbers that are in its file; what is broken or hostile is refused with its place."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from store.errors import ImportRefused
from store.imports import formats
from store.imports.raw import Options, RawEpisode, checked
from tests.store.imports import sources
from tests.store.imports.golden import make_lerobot

GOLDEN = Path(__file__).parent / "golden"


def read(path: Path, **options: Any) -> list[RawEpisode]:
    """Return the episodes of a source, read in this process."""
    form = formats.sniff(path)
    return [checked(episode) for episode in form.read(path, Options(**options))]


def values_of(episode: RawEpisode, name: str) -> np.ndarray:
    """Return the values of a signal."""
    (found,) = [signal for signal in episode.signals if signal.name == name]
    return np.asarray(found.values)


def test_csv_with_decimal_commas_duplicate_and_empty_columns_is_read(tmp_path: Path) -> None:
    """The second `a` gets a number, columns without a name or a value are gone."""
    values = sources.write_csv(tmp_path / "x.csv")

    (episode,) = read(tmp_path / "x.csv")

    assert [signal.name for signal in episode.signals] == ["a", "b", "a#2"]
    assert np.array_equal(np.hstack([values_of(episode, "a"), values_of(episode, "b")]), values)
    assert np.allclose(episode.signals[0].time_s, np.arange(20) / 100)


def test_csv_tells_the_wall_clock_of_times_that_have_one(tmp_path: Path) -> None:
    """Text as ISO 8601, and whole nanoseconds without a rounding."""
    (tmp_path / "x.csv").write_text("time,a\n2022-10-26T08:17:21.847Z,1\n2022-10-26T08:17:22.852Z,2\n")
    (tmp_path / "y.csv").write_text("%time,a\n1486559106139796569,1\n1486559106140360682,2\n")

    (x,), (y,) = read(tmp_path / "x.csv"), read(tmp_path / "y.csv")

    assert x.start_ns == 1_666_772_241_847_000_000 and np.allclose(x.signals[0].time_s, [0.0, 1.005])
    assert y.start_ns == 1_486_559_106_139_796_569 and np.allclose(y.signals[0].time_s, [0.0, 564_113e-9])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("time,a\n0,1\n1,2,3\n", "row 3: 3 cells under 2 names"),
        ("time,a\n1,1\n0,2\n", "a: row 1: the clock runs backwards"),
        ("time,a\nnan,1\n0,2\n", "row 0: 'nan' is no time"),
        ("b,a\n1,1\n", "which column has the times"),
        ("time,a\n", "no rows"),
    ],
)
def test_csv_that_is_wrong_is_refused_with_its_place(tmp_path: Path, text: str, reason: str) -> None:
    """Nothing is repaired silently."""
    (tmp_path / "x.csv").write_text(text)

    with pytest.raises(ImportRefused, match=reason):
        read(tmp_path / "x.csv")


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_lerobot_of_both_versions_is_read_value_for_value(tmp_path: Path, version: str) -> None:
    """Two episodes of different lengths, with their task, joints and times."""
    values = sources.write_lerobot(tmp_path / "set", version=version)

    first, second = read(tmp_path / "set")

    states = np.concatenate([values_of(one, "observation.state") for one in (first, second)])
    assert np.array_equal(states, values) and np.array_equal(values_of(second, "action"), -values[5:])
    assert (first.task, first.robot, first.signals[0].names) == ("lift", "own_arm", sources.JOINTS)
    assert np.allclose(second.signals[0].time_s, np.arange(7) / 50)


@pytest.mark.parametrize("name", ["lerobot_v30", "lerobot_v30_video"])
def test_what_lerobot_itself_wrote_is_read_value_for_value(name: str) -> None:
    """Folders of LeRobot 0.4.4's own writer, see `golden/make_lerobot.py`; of the one with video all but the video."""
    episodes = read(GOLDEN / name)

    assert tuple(one.task for one in episodes) == make_lerobot.TASKS
    for number, one in enumerate(episodes):
        state, action = make_lerobot.expected(number)
        assert np.array_equal(values_of(one, "observation.state"), state)
        assert np.array_equal(values_of(one, "action"), action)
        assert [signal.name for signal in one.signals] == ["observation.state", "action"]
        assert np.allclose(one.signals[0].time_s, np.arange(len(state)) / make_lerobot.FPS)
        assert (one.robot, list(one.signals[0].names)) == ("own_arm", make_lerobot.NAMES)


def test_our_own_export_comes_back_value_for_value_with_its_units(house: Any, make_header: Any, tmp_path: Path) -> None:
    """What `export_lerobot` writes is a source like any other."""
    from store import read_episode
    from store.lerobot import export_lerobot

    sealed = house.seal(make_header(), rows=30)
    export_lerobot(house.objects, [sealed.sha256], tmp_path / "out", 100)

    (episode,) = read(tmp_path / "out")

    assert np.array_equal(
        values_of(episode, "observation.state"), read_episode(sealed.path).signals["observation.state"]
    )
    assert {s.name: s.unit for s in episode.signals}["observation.effort"] == "N m"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"data_path": "../../etc/{chunk_index}"}, "data_path"),
        ({"data_path": "/etc/passwd"}, "data_path"),
        ({"fps": 0}, "fps 0"),
        ({"fps": 1e308 * 10}, "fps inf"),
        ({"fps": 25}, "row 1: timestamp 0.0"),
        ({"total_episodes": 10**9}, "total_episodes"),
        ({"total_episodes": 3}, "total_episodes 3, and 2 are listed"),
        ({"codebase_version": "v9"}, "codebase_version 'v9'"),
        ({"features": {"x": {"dtype": "float32", "shape": [-1]}}}, "shape"),
        ({"features": {"x": {"dtype": "float32", "shape": [1 << 40]}}}, "at most 4096"),
        ({"features": {"x": {"dtype": "float32", "shape": [2]}}}, "no column 'x'"),
        ({"features": []}, "features"),
    ],
)
def test_a_hostile_info_json_is_refused_with_its_key(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    """Whatever it claims is held against the files."""
    sources.write_lerobot(tmp_path / "set", **changes)

    with pytest.raises(ImportRefused, match=reason):
        read(tmp_path / "set")


def test_json_that_is_nested_without_end_is_refused(tmp_path: Path) -> None:
    """A reader that recurses would die of it."""
    sources.write_lerobot(tmp_path / "set")
    (tmp_path / "set" / "meta" / "info.json").write_text("[" * 100_000)

    with pytest.raises(ImportRefused, match=r"info\.json"):
        read(tmp_path / "set")


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    """The data file is a link to a file that is not the source's."""
    sources.write_lerobot(tmp_path / "set")
    data = tmp_path / "set" / "data" / "chunk-000" / "file-000.parquet"
    data.rename(tmp_path / "secret.parquet")
    data.symlink_to(tmp_path / "secret.parquet")

    with pytest.raises(ImportRefused, match=r"file-000\.parquet.*leads out"):
        read(tmp_path / "set")


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a/../../x", "a\0b"])
def test_names_that_lead_out_of_the_source_are_refused(tmp_path: Path, name: str) -> None:
    """One gate for all formats."""
    with pytest.raises(ImportRefused, match="leads out"):
        formats.inside(tmp_path, name)


def test_parquet_cut_anywhere_is_refused_with_its_name(tmp_path: Path) -> None:
    """At ten places, from the first byte to the last."""
    sources.write_lerobot(tmp_path / "set")
    file = tmp_path / "set" / "data" / "chunk-000" / "file-000.parquet"
    whole = file.read_bytes()

    for cut in np.linspace(0, len(whole) - 1, 10).astype(int):
        file.write_bytes(whole[:cut])
        with pytest.raises(ImportRefused, match=r"file-000\.parquet"):
            read(tmp_path / "set")


def test_parquet_with_flipped_bytes_is_refused_or_gives_sound_shapes(tmp_path: Path) -> None:
    """Pages carry no checksum here: what still decodes has the shapes it should, and nothing else escapes."""
    sources.write_lerobot(tmp_path / "set")
    file = tmp_path / "set" / "data" / "chunk-000" / "file-000.parquet"
    whole, rng = file.read_bytes(), np.random.default_rng(0)

    for _ in range(40):
        broken = bytearray(whole)
        broken[int(rng.integers(len(whole)))] ^= 1 << int(rng.integers(8))
        file.write_bytes(broken)
        try:
            shapes = [values_of(one, "action").shape for one in read(tmp_path / "set")]
        except ImportRefused:
            continue
        assert shapes == [(5, 2), (7, 2)]


def test_a_parquet_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    """Eleven million equal rows are a small file: rows times width are counted first."""
    sources.write_lerobot(tmp_path / "set")
    info_path = tmp_path / "set" / "meta" / "info.json"
    info = json.loads(info_path.read_text())
    info["features"] = {"episode_index": {"dtype": "int64", "shape": [1]}}
    info_path.write_text(json.dumps(info))
    file = tmp_path / "set" / "data" / "chunk-000" / "file-000.parquet"
    zeros = pa.array(np.zeros(1_000_000, np.int64))
    table = pa.table({"episode_index": pa.chunked_array([zeros] * 11)})
    pq.write_table(table, file, compression="zstd")
    assert file.stat().st_size < 110_000

    with pytest.raises(ImportRefused, match="11000000 rows of 1 values are more"):
        read(tmp_path / "set", max_values=10_000_000)


def test_arrays_are_joined_into_one_signal_of_joints(tmp_path: Path) -> None:
    """`q_<joint>` each, at the rate that the mapping says."""
    values = sources.write_npz(tmp_path / "x.npz")

    (episode,) = read(tmp_path / "x.npz", rate_hz=100.0)

    assert np.array_equal(values_of(episode, "q"), values)
    assert episode.signals[0].names == sources.JOINTS


def test_a_pickle_in_an_archive_is_never_loaded(tmp_path: Path) -> None:
    """An array of objects whose unpickling would leave a trace."""
    trace = tmp_path / "trace"

    class Hostile:
        def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
            return Path.touch, (trace,)

    np.savez(tmp_path / "x.npz", q_a=np.array([Hostile()], dtype=object))

    with pytest.raises(ImportRefused, match="q_a: an array of objects is a pickle"):
        read(tmp_path / "x.npz", rate_hz=100.0)
    assert not trace.exists()


def test_a_zip_bomb_is_refused_by_what_it_claims(tmp_path: Path) -> None:
    """20 MB of zeros in 20 kB."""
    sources.zip_bomb(tmp_path / "x.npz", 20_000_000)

    with pytest.raises(ImportRefused, match="q_a: 2500000 rows of 1 values are more"):
        read(tmp_path / "x.npz", rate_hz=100.0, max_values=1_000_000)


def test_windows_of_failures_keep_their_cause(tmp_path: Path) -> None:
    """`normal` is a success, every other word the cause of a failure."""
    sources.write_failures(tmp_path / "lp1.data")

    good, bad = read(tmp_path / "lp1.data")

    assert (good.status, bad.status, bad.cause) == ("success", "failure", "collision")
    assert values_of(bad, "wrench")[14].tolist() == [14, 15, 16, 17, 18, 19]


def test_ulog_gives_the_columns_of_its_own_definitions(tmp_path: Path) -> None:
    """Arrays and structures within structures are flat columns; times are seconds."""
    values = sources.write_ulog(tmp_path / "x.ulg")

    (episode,) = read(tmp_path / "x.ulg")

    (signal,) = episode.signals
    assert signal.names == ("q[0]", "q[1]", "tip.z") and np.array_equal(values_of(episode, "arm.0"), values)
    assert np.allclose(signal.time_s, np.arange(10) * 0.004)


def test_ulog_that_loses_its_end_keeps_what_came_before_and_lies_are_refused(tmp_path: Path) -> None:
    """A cut off message is a power loss; data of an unknown topic is not."""
    sources.write_ulog(tmp_path / "x.ulg")
    whole = (tmp_path / "x.ulg").read_bytes()
    (tmp_path / "x.ulg").write_bytes(whole[:-5])
    assert len(values_of(read(tmp_path / "x.ulg")[0], "arm.0")) == 9

    (tmp_path / "x.ulg").write_bytes(whole + struct.pack("<HBH", 2, ord("D"), 99))
    with pytest.raises(ImportRefused, match="a topic that is not there"):
        read(tmp_path / "x.ulg")


def test_rlds_is_read_without_tensorflow_and_its_sums_are_checked(tmp_path: Path) -> None:
    """Any flipped bit of the file is named by its record."""
    values = sources.write_tfrecord(tmp_path / "x.tfrecord-00000-of-00001")
    path = tmp_path / "x.tfrecord-00000-of-00001"

    (episode,) = read(path, rate_hz=10.0)
    assert np.array_equal(values_of(episode, "action"), values) and episode.task == "open the drawer"

    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        broken = bytearray(whole)
        broken[place] ^= 1
        path.write_bytes(broken)
        with pytest.raises(ImportRefused, match="record 0"):
            read(path, rate_hz=10.0)


def test_the_checksum_is_crc32c() -> None:
    """The check value of the standard (RFC 3720), and long data like short ones."""
    from store.imports.formats.rlds import _plain, crc32c

    data = np.random.default_rng(0).bytes(20_011)
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(data) == _plain(data, 0xFFFFFFFF) ^ 0xFFFFFFFF


def test_mcap_of_json_is_read_topic_by_topic(tmp_path: Path) -> None:
    """Two topics of different rates; a broken chunk is refused."""
    writing = pytest.importorskip("mcap.writer")
    path = tmp_path / "x.mcap"
    with open(path, "wb") as file:
        writer = writing.Writer(file)
        writer.start()
        for topic, period_ns in (("/q", 10_000_000), ("/t", 20_000_000)):
            channel = writer.register_channel(topic, "json", 0)
            for i in range(10):
                data = json.dumps({"a": i, "b": [i / 2, True]}).encode()
                stamp = 1_000_000_000 + i * period_ns
                writer.add_message(channel, stamp, data, stamp)
        writer.finish()

    (episode,) = read(path)

    assert values_of(episode, "/q").tolist() == [[i, i / 2, 1.0] for i in range(10)]
    assert np.allclose(episode.signals[1].time_s, np.arange(10) * 0.02) and episode.start_ns == 1_000_000_000
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImportRefused, match=r"x\.mcap"):
        read(path)


def test_an_mcap_chunk_that_unpacks_to_too_much_is_refused_by_its_claim(tmp_path: Path) -> None:
    """100 MB of zeros in one chunk of zstd."""
    writing = pytest.importorskip("mcap.writer")
    with open(tmp_path / "x.mcap", "wb") as file:
        writer = writing.Writer(file, chunk_size=1 << 30)
        writer.start()
        channel = writer.register_channel("/q", "json", 0)
        writer.add_message(channel, 1, bytes(20_000_000), 1)
        writer.finish()

    with pytest.raises(ImportRefused, match="claims to unpack to 20"):
        read(tmp_path / "x.mcap", max_values=1_000_000)


def test_robomimic_demonstrations_are_read_and_links_out_of_the_file_are_not(tmp_path: Path) -> None:
    """Numbers as they are; external links, external storage, virtual data sets and bombs are refused by name."""
    h5py = pytest.importorskip("h5py")
    values = sources.motion(6)
    for what in ("good", "link", "soft", "storage", "virtual", "bomb"):
        with h5py.File(tmp_path / f"{what}.hdf5", "w") as file:
            demo = file.create_group("data/demo_0")
            demo["actions"] = values
            demo["obs/robot0_joint_pos"] = -values
            if what == "link":
                demo["out"] = h5py.ExternalLink("/etc/passwd", "/x")
            elif what == "soft":
                demo["out"] = h5py.SoftLink("/data")
            elif what == "storage":
                (tmp_path / "raw").write_bytes(bytes(24))
                demo.create_dataset("out", (6,), "f4", external=[(str(tmp_path / "raw"), 0, 24)])
            elif what == "virtual":
                layout = h5py.VirtualLayout((6,), "f4")
                layout[:] = h5py.VirtualSource(str(tmp_path / "good.hdf5"), "data/demo_0/x", (6,))
                demo.create_virtual_dataset("out", layout)
            elif what == "bomb":
                demo.create_dataset("out", (1 << 40,), "f8", chunks=(1 << 16,), compression="gzip")

    (episode,) = read(tmp_path / "good.hdf5", rate_hz=20.0)
    assert np.array_equal(values_of(episode, "actions"), values)
    assert np.array_equal(values_of(episode, "obs/robot0_joint_pos"), -values)
    for what, reason in (
        ("link", "out: a link .ExternalLink"),
        ("soft", "out: a link .SoftLink"),
        ("storage", "out: its values are in another file"),
        ("virtual", "out: its values are in another file"),
        ("bomb", "out: 1099511627776 rows"),
    ):
        with pytest.raises(ImportRefused, match=reason):
            read(tmp_path / f"{what}.hdf5", rate_hz=20.0)


def test_a_ros_bag_gives_joints_with_units_and_one_that_is_cut_is_refused(tmp_path: Path) -> None:
    """A ROS 2 bag of JointState, written by `rosbags`."""
    rosbag2 = pytest.importorskip("rosbags.rosbag2")
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS2_HUMBLE)
    state, header, time = (
        store.types[f"{name}"]
        for name in ("sensor_msgs/msg/JointState", "std_msgs/msg/Header", "builtin_interfaces/msg/Time")
    )
    values = sources.motion(8).astype(np.float64)
    with rosbag2.Writer(tmp_path / "bag", version=9) as writer:
        connection = writer.add_connection("/joint_states", state.__msgtype__, typestore=store)
        for i, row in enumerate(values):
            message = state(header(time(1, i), "base"), list(sources.JOINTS), row, -row, np.zeros(0))
            writer.write(connection, 10**9 + i * 10**7, store.serialize_cdr(message, state.__msgtype__))

    (episode,) = read(tmp_path / "bag")

    assert [(s.role, s.unit) for s in episode.signals] == [
        ("observation.state", "rad"),
        ("observation.velocity", "rad/s"),
    ]
    assert np.array_equal(values_of(episode, "/joint_states.position"), values)
    (database,) = (tmp_path / "bag").glob("*.db3")
    database.write_bytes(database.read_bytes()[:3000])
    with pytest.raises(ImportRefused, match="bag"):
        read(tmp_path / "bag")


def test_a_file_that_no_format_knows_is_refused_by_name(tmp_path: Path) -> None:
    """And a format that there is not, with the closest one."""
    (tmp_path / "x.bin").write_bytes(bytes(100))

    with pytest.raises(ImportRefused, match=r"x\.bin: none of lerobot"):
        formats.sniff(tmp_path / "x.bin")
    with pytest.raises(ImportRefused, match="did you mean lerobot"):
        formats.find("lerobots")
