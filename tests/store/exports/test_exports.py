"""What leaves the store: read by others' readers value for value, described, signed, and checked."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from store import BASE_POSE, EpisodeRecorder, Outcome, SealedEpisode, Status, Stream, read_episode
from store.errors import BrokenExport, ExportRefused
from store.exports import check_folder, new_key, write_mcap, write_parquet
from store.exports.croissant import FILE
from store.exports.manifest import DOMAIN, canonical_json, load_key
from store.objects import hash_of
from tests.store.conftest import build_rows

KEY = Ed25519PrivateKey.generate()
IMU, WORDS = "observation.imu", "language.subtask"


def seal(house: Any, make_header: Any, name: str = "e-1", joints: int = 3) -> SealedEpisode:
    """Record an episode of joints, a stream of numbers at another rate and one of texts."""
    streams = {IMU: Stream("m/s^2", "imu", 3, rate_hz=200.0), WORDS: Stream("text", "episode", kind="text")}
    header = make_header(joints, name=f"vendors/acme/episodes/{name}", streams=streams)
    recorder = house.recorder(header)
    time_s, signals = build_rows(header, 20)
    recorder.extend(time_s, signals)
    recorder.add(IMU, np.arange(40) / 200, np.arange(120.0).reshape(40, 3))
    recorder.add(WORDS, [0.05], ["reach for the cup, 杯子"])
    sealed: SealedEpisode = recorder.seal(Outcome(Status.FAILURE, "slipped"))
    return sealed


def test_plain_parquet_holds_every_value_at_its_own_rate(house: Any, make_header: Any, tmp_path: Path) -> None:
    """Two bodies in one table; the streams in tables of their own."""
    sealed = [seal(house, make_header, "e-1"), seal(house, make_header, "e-2", joints=2)]

    out = write_parquet(house.objects, [one.sha256 for one in sealed], tmp_path / "out", key=KEY)

    joints, imu = pq.read_table(out / "joints.parquet"), pq.read_table(out / "streams" / f"{IMU}.parquet")
    for i, one in enumerate(sealed):
        episode = read_episode(one.path)
        part = joints.slice(20 * i, 20)
        for signal, values in episode.signals.items():
            assert np.array_equal(np.array(part[signal].to_pylist(), np.float32), values)
        assert part["time_s"].to_pylist() == episode.time_s.tolist()
        assert np.array_equal(np.array(imu["value"].slice(40 * i, 40).to_pylist()), episode.streams[IMU].values)
    rows = pq.read_table(out / "episodes.parquet").to_pylist()
    assert [(row["status"], row["cause"], row["sha256"]) for row in rows] == [
        ("failure", "slipped", one.sha256) for one in sealed
    ]


def test_duckdb_and_polars_read_the_plain_parquet(house: Any, make_header: Any, tmp_path: Path) -> None:
    """Where they are installed: the same sums."""
    duckdb, polars = pytest.importorskip("duckdb"), pytest.importorskip("polars")
    sealed = seal(house, make_header)
    out = write_parquet(house.objects, [sealed.sha256], tmp_path / "out")
    total = float(read_episode(sealed.path).signals["action"].astype(np.float64).sum())

    query = f"SELECT sum(list_sum(action)), count(*) FROM '{out}/joints.parquet'"
    (found,) = duckdb.sql(query).fetchall()
    frame = polars.read_parquet(out / "joints.parquet")

    assert found == (pytest.approx(total, abs=1e-4), 20)
    assert frame["action"].explode().sum() == pytest.approx(total, abs=1e-4)


def test_mcap_holds_every_value_at_its_time_for_its_own_reader_and_our_importer(
    house: Any, make_header: Any, tmp_path: Path
) -> None:
    """The `mcap` library's reader, and then the import of what was exported."""
    reading = pytest.importorskip("mcap.reader")
    from store.imports import Mapping, import_path

    sealed = seal(house, make_header)
    episode = read_episode(sealed.path)

    out = write_mcap(house.objects, [sealed.sha256], tmp_path / "out", key=KEY)

    with open(out / "e-1.mcap", "rb") as file:
        reader = reading.make_reader(file, validate_crcs=True)
        said = [(c.topic, m.log_time, json.loads(m.data)) for _, c, m in reader.iter_messages()]
        (about,) = [one.metadata for one in reader.iter_metadata() if one.name == "palaestra"]
    states = [message["position"] for topic, _, message in said if topic == "/joints"]
    assert np.array_equal(np.array(states, np.float32), episode.signals["observation.state"])
    stamps = [stamp for topic, stamp, _ in said if topic == "/observation/imu"]
    assert np.allclose((np.array(stamps) - episode.header.started_at_ns) * 1e-9, np.arange(40) / 200)
    assert json.loads(about["header"])["name"] == episode.header.name
    text = '[[signal]]\nname = "observation.state"\nfrom = ["/joints"]\nunit = "rad"\ncolumns = '
    columns = json.dumps([f"position[{i}]" for i in range(3)])
    mapping = Mapping.parse(text + columns)
    back = import_path(out / "e-1.mcap", tmp_path / "s", vendor="vendors/a", robot="own_arm", mapping=mapping)
    found = read_episode(tmp_path / "s" / "objects" / "sha256" / back.episodes[0].sha256[:2] / back.episodes[0].sha256)
    assert np.array_equal(found.signals["observation.state"], episode.signals["observation.state"])


@pytest.mark.parametrize("write", [write_parquet, write_mcap])
def test_an_export_appears_whole_or_not_at_all(
    house: Any, make_header: Any, tmp_path: Path, write: Callable[..., Path]
) -> None:
    """The second source is damaged; episodes twice or none are refused before anything."""
    if write is write_mcap:
        pytest.importorskip("mcap")
    first, second = seal(house, make_header, "e-1"), seal(house, make_header, "e-2")
    data = bytearray(second.path.read_bytes())
    data[60] ^= 1
    second.path.write_bytes(data)

    with pytest.raises(Exception, match=second.sha256[:12]):
        write(house.objects, [first.sha256, second.sha256], tmp_path / "out")
    assert list(tmp_path.glob("*out*")) == []
    with pytest.raises(ExportRefused, match="twice"):
        write(house.objects, [first.sha256] * 2, tmp_path / "out")
    with pytest.raises(ExportRefused, match="no episodes"):
        write(house.objects, [], tmp_path / "out")


def damage(folder: Path, what: str) -> None:
    """Do one thing to a signed folder."""
    file = folder / "joints.parquet"
    if what == "altered":
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    elif what == "missing":
        file.unlink()
    elif what == "additional":
        (folder / "streams" / "more.parquet").write_bytes(b"x")
    elif what == "link":
        (folder / "more").symlink_to("/etc")
    elif what == "manifest":
        manifest = folder / "manifest.json"
        manifest.write_bytes(manifest.read_bytes().replace(b'"episodes":1', b'"episodes":2'))
    elif what == "unsigned":
        (folder / "manifest.sig").unlink()
    elif what == "nonsense":
        (folder / "manifest.sig").write_text("zz")
    elif what == "long":
        (folder / "manifest.sig").write_bytes(b"0" * 5000)
    elif what == "pipe":
        (folder / "manifest.sig").unlink()
        os.mkfifo(folder / "manifest.sig")
    elif what == "nothing said":
        said = json.loads((folder / "manifest.json").read_bytes())
        del said["about"]
        (folder / "manifest.json").write_bytes(canonical_json(said))
        (folder / "manifest.sig").write_text(KEY.sign(DOMAIN + canonical_json(said)).hex())


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("altered", "joints.parquet: has the hash"),
        ("missing", "joints.parquet: not there"),
        ("additional", "streams/more.parquet: not in the manifest"),
        ("link", "more: neither a file nor a folder"),
        ("manifest", "manifest.sig: not the signature"),
        ("unsigned", "manifest.sig: not there"),
        ("nonsense", "manifest.json"),
        ("long", "manifest.sig: more than"),
        ("pipe", "manifest.sig: no plain file"),
        ("nothing said", "manifest.json: 'about'"),
    ],
)
def test_whatever_is_done_to_a_signed_folder_is_named(
    house: Any, make_header: Any, tmp_path: Path, what: str, reason: str
) -> None:
    """Untouched it is whole; after the one thing it is not."""
    out = write_parquet(house.objects, [seal(house, make_header).sha256], tmp_path / "out", key=KEY)
    assert check_folder(out).about == {"format": "parquet", "episodes": 1}

    damage(out, what)

    with pytest.raises(BrokenExport, match=reason):
        check_folder(out)


def test_another_ones_signature_does_not_count_for_who_knows_the_key(
    house: Any, make_header: Any, tmp_path: Path
) -> None:
    """A forger signs anew with a key of his own."""
    public = new_key(tmp_path / "key.pem")
    out = write_parquet(house.objects, [seal(house, make_header).sha256], tmp_path / "out", key=KEY)

    assert check_folder(out).public_key != public
    with pytest.raises(BrokenExport, match=f"not by {public}"):
        check_folder(out, public_key=public)
    assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600
    assert load_key(tmp_path / "key.pem").public_key().public_bytes_raw().hex() == public


def test_croissant_names_every_file_with_its_hash_and_every_column(
    house: Any, make_header: Any, tmp_path: Path
) -> None:
    """The columns are those of the files; `mlcroissant` itself has no complaint where it is installed."""
    out = write_parquet(house.objects, [seal(house, make_header).sha256], tmp_path / "out", licence="CC-BY-4.0")

    said = json.loads((out / FILE).read_text("utf-8"))

    for file in said["distribution"]:
        with open(out / file["contentUrl"], "rb") as data:
            assert hash_of(data) == file["sha256"]
    files = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file() and p.name != FILE}
    assert {file["@id"] for file in said["distribution"]} == files
    for table in said["recordSet"]:
        file = table["field"][0]["source"]["fileObject"]["@id"]
        columns = [field["source"]["extract"]["column"] for field in table["field"]]
        assert columns == pq.read_schema(out / file).names
    try:
        import mlcroissant
    except ImportError:
        return
    dataset = mlcroissant.Dataset(jsonld=out / FILE)
    assert not dataset.metadata.ctx.issues.errors
    (row,) = list(dataset.records("episodes"))
    assert row["episodes/status"] == b"failure"


def test_canonical_json_is_one_text_for_one_value_and_has_no_fractions() -> None:
    """Sorted, spaceless, UTF-8."""
    assert canonical_json({"b": [1, "ü"], "a": {}}) == '{"a":{},"b":[1,"ü"]}'.encode()
    for value in (1.5, 2**60, [{"a": float("nan")}]):
        with pytest.raises(ValueError, match="whole numbers"):
            canonical_json(value)


def test_base_sensors_and_frames_leave_with_the_joints(house: Any, make_header: Any, tmp_path: Path) -> None:
    """As Parquet and as MCAP, value for value; of an episode that has no such signal it is null."""
    mcap = pytest.importorskip("mcap.reader")
    current = "observation.sensor.current"
    header = make_header(base_pose=True)
    with_sensor = replace(
        header,
        name="e-2",
        sensor_widths={current: 2},
        units={**header.units, current: "A"},
        frames={**(header.frames or {}), current: "motor"},
    )
    rng = np.random.default_rng(1)
    signals = {name: rng.random((4, with_sensor.width(name))).astype(np.float32) for name in with_sensor.signals}
    with EpisodeRecorder(with_sensor, house.spool, house.objects) as recorder:
        recorder.extend(np.arange(4) / 100, signals)
        sealed = recorder.seal(Outcome(Status.SUCCESS))
    digests = [seal(house, make_header).sha256, sealed.sha256]

    out = write_parquet(house.objects, digests, tmp_path / "parquet")
    table = pq.read_table(out / "joints.parquet").to_pydict()
    own = [number for number, name in enumerate(table["episode"]) if name == "e-2"]
    for name, values in signals.items():
        assert np.array_equal([table[name][number] for number in own], values), name
    assert table[BASE_POSE][0] is None
    assert table[current][0] is None
    assert f"{current} [A] in motor" in (out / "croissant.json").read_text()

    out = write_mcap(house.objects, [sealed.sha256], tmp_path / "mcap")
    found: dict[str, list[Any]] = {}
    with open(out / "e-2.mcap", "rb") as file:
        for _, channel, message in mcap.make_reader(file).iter_messages():
            found.setdefault(channel.topic, []).append((json.loads(message.data), channel.metadata))
    readings = found["/observation/sensor/current"]
    assert np.array_equal([said["value"] for said, _ in readings], signals[current])
    assert readings[0][1] == {"unit.value": "A", "frame.value": "motor"}
    assert found["/joints"][0][1]["frame.position"] == "joint"
    topic = "/" + BASE_POSE.replace(".", "/")
    assert np.array_equal([said["value"] for said, _ in found[topic]], signals[BASE_POSE])


def test_a_manifest_of_version_1_is_still_good_and_its_signature_for_nothing_newer(
    house: Any, make_header: Any, tmp_path: Path
) -> None:
    """Those were signed without a domain; what a key has signed elsewhere is no manifest of today."""
    out = write_parquet(house.objects, [seal(house, make_header).sha256], tmp_path / "out", key=KEY)
    said = json.loads((out / "manifest.json").read_bytes())
    for version, good in ((1, True), (2, False)):
        text = canonical_json(said | {"version": version})
        (out / "manifest.json").write_bytes(text)
        (out / "manifest.sig").write_text(KEY.sign(text).hex())
        if good:
            assert check_folder(out).files
        else:
            with pytest.raises(BrokenExport, match="not the signature"):
                check_folder(out)
    (out / "manifest.json").write_bytes(canonical_json(said | {"version": 3}))
    with pytest.raises(BrokenExport, match="version 3"):
        check_folder(out)
