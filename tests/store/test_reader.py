"""Reading sealed files that are damaged, or that lie."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]
import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]
import pytest

from store import (
    ACTION,
    STATE,
    TIME,
    BrokenEpisode,
    Outcome,
    Status,
    joint_frames,
    joint_units,
    read_episode,
    read_summary,
)
from store.layout import HEADER_KEY, OUTCOME_KEY
from store.parquet import write_sealed


@pytest.fixture
def sealed(house: Any) -> Path:
    """A good file of 100 rows and 3 joints."""
    path: Path = house.seal().path
    return path


def test_a_summary_says_what_the_file_says_of_itself(house: Any, make_header: Any) -> None:
    """Header, outcome, rows and size without the signals."""
    sealed = house.seal(make_header(seed=99), rows=17, outcome=Outcome(Status.ABORTED, "stop button"))

    summary = read_summary(sealed.path)

    assert summary.header == make_header(seed=99)
    assert summary.outcome == Outcome(Status.ABORTED, "stop button")
    assert (summary.rows, summary.size_bytes) == (17, sealed.size_bytes)


def test_a_file_cut_anywhere_is_broken(sealed: Path, tmp_path: Path) -> None:
    """Every 7th length from nothing to one byte short."""
    whole = sealed.read_bytes()
    cut = tmp_path / "cut"
    for length in [*range(0, len(whole), 7), len(whole) - 1]:
        cut.write_bytes(whole[:length])
        for read in (read_summary, read_episode):
            with pytest.raises(BrokenEpisode, match="cut"):
                read(cut)


def test_a_flipped_bit_is_found_by_the_hash_and_signals_are_never_wrong_without_it(
    sealed: Path, tmp_path: Path
) -> None:
    """With the hash every flip is found; without it, page checksums still guard every value."""
    truth = read_episode(sealed)
    whole = sealed.read_bytes()
    flipped = tmp_path / "flipped"
    chance = random.Random(1)
    found = 0
    for place in chance.sample(range(len(whole)), 400):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << chance.randrange(8)
        flipped.write_bytes(damaged)
        with pytest.raises(BrokenEpisode, match="hash"):
            read_episode(flipped, sha256=sealed.name)
        try:
            episode = read_episode(flipped)
        except BrokenEpisode:
            found += 1
            continue
        assert np.array_equal(episode.time_s, truth.time_s)
        for signal, values in truth.signals.items():
            assert np.array_equal(episode.signals[signal], values)
    assert found > 200


def test_damage_is_located(sealed: Path, tmp_path: Path) -> None:
    """A flip within the pages of one signal names this signal."""
    column = pq.ParquetFile(sealed).metadata.row_group(0).column(1)
    damaged = bytearray(sealed.read_bytes())
    damaged[column.data_page_offset + column.total_compressed_size - 5] ^= 1
    (tmp_path / "damaged").write_bytes(damaged)

    with pytest.raises(BrokenEpisode, match=rf"^damaged: {STATE}: .*checksum"):
        read_episode(tmp_path / "damaged")


def test_a_missing_file_is_missing_not_broken(tmp_path: Path) -> None:
    """The caller asked for a path that is not there."""
    with pytest.raises(FileNotFoundError):
        read_summary(tmp_path / "none")


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" * 3, b"PAR1\xff\xff\xff\x7fPAR1", b"\x00" * 100])
def test_a_file_that_is_no_parquet_is_broken(tmp_path: Path, content: bytes) -> None:
    """Empty, magic only, a footer longer than the file."""
    (tmp_path / "file").write_bytes(content)

    with pytest.raises(BrokenEpisode):
        read_episode(tmp_path / "file")


Lie = Callable[[Any, Any], Any]


def with_column(table: Any, name: str, values: Any) -> Any:
    """Return the table with other values in one column, metadata kept."""
    index = table.schema.get_field_index(name)
    metadata = table.schema.metadata
    return table.set_column(index, pa.field(name, values.type), values).replace_schema_metadata(metadata)


def with_words(table: Any, **words: str) -> Any:
    """Return the table with other metadata."""
    keys = {"header": HEADER_KEY, "outcome": OUTCOME_KEY}
    changed = {keys[key]: value for key, value in words.items()}
    return table.replace_schema_metadata({**table.schema.metadata, **changed})


def vectors(values: np.ndarray, nulls: bool = False) -> Any:
    """Return a fixed-size list array, with a null in the first row if asked."""
    rows = values.astype(np.float32).tolist()
    if nulls:
        rows[0] = [None] * values.shape[1]
    return pa.array(rows, pa.list_(pa.float32(), values.shape[1]))


LIES: dict[str, tuple[Lie, str]] = {
    "no metadata": (lambda t, h: t.replace_schema_metadata(None), "not an episode of this store"),
    "no outcome": (lambda t, h: t.replace_schema_metadata({HEADER_KEY: h.to_json()}), "not an episode"),
    "header is no JSON": (lambda t, h: with_words(t, header="{"), "header: not JSON"),
    "header with an unknown field": (
        lambda t, h: with_words(t, header=h.to_json()[:-1] + ',"x":1}'),
        r"header: \['x'\]",
    ),
    "outcome of a fourth kind": (lambda t, h: with_words(t, outcome='{"status":"draw"}'), "status: 'draw'"),
    "a joint fewer in the file": (lambda t, h: with_column(t, STATE, vectors(np.zeros((100, 2)))), "columns"),
    "a column missing": (lambda t, h: t.drop_columns([ACTION]), "columns"),
    "a column too many": (lambda t, h: t.append_column("x", pa.array(np.zeros(100))), "columns"),
    "another type": (lambda t, h: with_column(t, TIME, pa.array(np.arange(100))), "columns"),
    "nulls in a signal": (lambda t, h: with_column(t, STATE, vectors(np.zeros((100, 3)), True)), "columns"),
    "clock going back": (lambda t, h: t.slice(0, 100).take(list(range(99, -1, -1))), "time_s: row 1"),
    "no rows": (lambda t, h: t.slice(0, 0), "claims 0 rows"),
    "signals that the header does not declare": (
        lambda t, h: with_words(
            t,
            header=type(h)(
                **{**vars(h), "units": joint_units(base_pose=True), "frames": joint_frames(base_pose=True)}
            ).to_json(),
        ),
        "columns",
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lying_file_is_broken_and_the_lie_is_named(sealed: Path, tmp_path: Path, make_header: Any, lie: str) -> None:
    """Well-formed Parquet that is not the episode it says it is."""
    change, words = LIES[lie]
    write_sealed(change(pq.read_table(sealed), make_header()), tmp_path / "liar")

    with pytest.raises(BrokenEpisode, match=f"^liar: .*{words}"):
        read_episode(tmp_path / "liar")


def test_a_value_that_is_not_finite_is_broken(sealed: Path, tmp_path: Path) -> None:
    """NaN in the file, by signal, row and joint."""
    table = pq.read_table(sealed)
    values = np.zeros(300, np.float32)
    values[5 * 3 + 2] = np.nan
    field = table.schema.field(STATE)
    column = pa.FixedSizeListArray.from_arrays(pa.array(values), type=field.type)
    table = table.set_column(1, field, column).replace_schema_metadata(table.schema.metadata)
    write_sealed(table, tmp_path / "nan")

    with pytest.raises(BrokenEpisode, match=f"^nan: {STATE}: row 5: joint_2 is nan"):
        read_episode(tmp_path / "nan")


def test_two_row_groups_are_not_an_episode(sealed: Path, tmp_path: Path) -> None:
    """The promise is one."""
    pq.write_table(pq.read_table(sealed), tmp_path / "two", row_group_size=50)

    with pytest.raises(BrokenEpisode, match="2 row groups"):
        read_episode(tmp_path / "two")


def test_a_bomb_is_refused_before_it_is_decoded(house: Any, make_header: Any) -> None:
    """A small file that claims many values: zeros pack well, the bound counts rows x width."""
    header = make_header()
    recorder = house.recorder(header)
    rows = 200_000
    recorder.extend(np.arange(rows), {s: np.zeros((rows, 3), np.float32) for s in header.signals})
    sealed = recorder.seal(Outcome(Status.SUCCESS))
    decoded_bytes = 4 * rows * header.row_values

    assert sealed.size_bytes < decoded_bytes / 10
    with pytest.raises(BrokenEpisode, match="claims 200000 rows of 14 values"):
        read_episode(sealed.path, max_values=rows * header.row_values - 1)
    assert len(read_episode(sealed.path, max_values=rows * header.row_values).time_s) == rows
