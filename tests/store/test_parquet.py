"""Sealed files that we write by hand: what other readers find in them is what was put in."""

import io
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store import BrokenEpisode, read_episode
from store.layout import schema_of
from store.parquet import PAGE_BYTES, is_plain, write_bare, write_plain, write_sealed

WIDTHS = st.sampled_from([0, 1, 2, 3, 7, 8, 29, 300])


def table_of(rows: int, columns: list[tuple[str, int]], *, chunks: int = 1, seed: int = 0) -> Any:
    """Columns of random bits: every pattern of a number, those that are none included."""
    rng = np.random.default_rng(seed)
    kinds = {"f4": pa.float32(), "f8": pa.float64(), "u8": pa.uint64()}
    fields, values = [], []
    for number, (kind, width) in enumerate(columns):
        flat = pa.array(np.frombuffer(rng.bytes(rows * max(1, width) * int(kind[1])), kind))
        if width:
            element = pa.field("element", kinds[kind], nullable=False)
            values.append(pa.FixedSizeListArray.from_arrays(flat, type=pa.list_(element, width)))
        else:
            values.append(flat)
        fields.append(pa.field(f"column.{number}", values[-1].type, nullable=False))
    whole = pa.table(values, schema=pa.schema(fields, metadata={"palaestra.header": '{"task": "抓取"}'}))
    edges = [0, *sorted(rng.integers(0, rows + 1, chunks - 1).tolist()), rows]
    return pa.concat_tables([whole.slice(begin, end - begin) for begin, end in pairwise(edges)])


def same_bits(one: Any, other: Any) -> bool:
    """Whether two tables are equal to the bit; NaN equals itself."""
    return bool(one.schema.equals(other.schema, check_metadata=True)) and all(
        np.array_equal(_bits(one.column(name)), _bits(other.column(name))) for name in one.column_names
    )


def _bits(column: Any) -> Any:
    array = column.combine_chunks()
    array = pa.concat_arrays(array.chunks) if isinstance(array, pa.ChunkedArray) else array
    return (array.flatten() if pa.types.is_fixed_size_list(array.type) else array).to_numpy().view(np.uint8)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 400),
    columns=st.lists(
        st.one_of(
            st.tuples(st.just("f4"), WIDTHS.filter(bool)),
            st.tuples(st.just("f8"), WIDTHS),
            st.tuples(st.just("u8"), st.just(0)),
        ),
        min_size=1,
        max_size=18,
    ),
    chunks=st.integers(1, 5),
    seed=st.integers(0, 1000),
)
def test_pyarrow_reads_every_bit_of_what_we_write(
    tmp_path_factory: pytest.TempPathFactory, rows: int, columns: list[tuple[str, int]], chunks: int, seed: int
) -> None:
    """Any widths, rows and pieces, page checksums compared; the schema with its metadata, too."""
    path = tmp_path_factory.getbasetemp() / "plain.parquet"
    table = table_of(rows, columns, chunks=chunks, seed=seed)
    assert is_plain(table.schema)

    write_plain(table, path)

    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        assert same_bits(file.read(), table)
        assert file.metadata.num_row_groups == 1
        group = file.metadata.row_group(0)
        sizes = [group.column(n).total_compressed_size for n in range(len(columns))]
        assert sum(sizes) == path.stat().st_size - file.metadata.serialized_size - 12
        assert group.total_byte_size == sum(group.column(n).total_uncompressed_size for n in range(len(columns)))


def test_a_column_of_many_pages_is_read_whole(tmp_path: Path) -> None:
    """Three pages and a bit of wide rows, in pieces that do not end where pages do."""
    rows = 3 * PAGE_BYTES // (4 * 300) + 17
    table = table_of(rows, [("f4", 300), ("f8", 0)], chunks=6)

    write_plain(table, tmp_path / "many.parquet")

    assert same_bits(pq.read_table(tmp_path / "many.parquet"), table)


def test_the_file_says_of_itself_what_pyarrows_file_says(make_header: Any, make_rows: Any, tmp_path: Path) -> None:
    """Schema, statistics, encodings and compression, column by column, of an episode."""
    table = episode_table(make_header(), make_rows)
    write_plain(table, tmp_path / "ours")
    options = {"use_dictionary": False, "compression": "zstd", "use_byte_stream_split": True}
    pq.write_table(table, tmp_path / "theirs", **options)

    ours, theirs = pq.ParquetFile(tmp_path / "ours"), pq.ParquetFile(tmp_path / "theirs")

    assert ours.schema.equals(theirs.schema)
    assert ours.schema_arrow.equals(theirs.schema_arrow, check_metadata=True)
    for number in range(ours.metadata.num_columns):
        one, other = (file.metadata.row_group(0).column(number) for file in (ours, theirs))
        for said in ("path_in_schema", "physical_type", "compression", "num_values", "is_stats_set"):
            assert getattr(one, said) == getattr(other, said), said
        for said in ("min", "max", "null_count", "has_min_max"):
            assert getattr(one.statistics, said) == getattr(other.statistics, said), said
        assert set(one.encodings) == {"BYTE_STREAM_SPLIT", "RLE"}


@pytest.mark.parametrize(
    ("values", "limits"),
    [([1.0, np.nan], None), ([0.0, -0.0], (-0.0, 0.0)), ([-1.0, -0.0], (-1.0, 0.0)), ([-np.inf, 3.0], (-np.inf, 3.0))],
)
def test_limits_are_those_that_a_reader_may_trust(tmp_path: Path, values: list[float], limits: Any) -> None:
    """None where a value is not a number; of the zeros the one that leaves out neither."""
    field = pa.field("x", pa.float64(), nullable=False)
    pieces = [pa.table([pa.array([value])], schema=pa.schema([field])) for value in values]
    write_plain(pa.concat_tables(pieces), tmp_path / "x")

    told = pq.read_metadata(tmp_path / "x").row_group(0).column(0).statistics

    if limits is None:
        assert told is None or not told.has_min_max
    else:
        assert (told.min, told.max) == limits
        assert (np.signbit(told.min), np.signbit(told.max)) == (np.signbit(limits[0]), np.signbit(limits[1]))


@pytest.mark.parametrize("place", [10, 0.2, 0.5, 0.9])
def test_an_altered_byte_of_a_page_is_found(house: Any, place: float) -> None:
    """By its checksum, or because nothing can be decoded any more."""
    path = house.seal(rows=200).path
    data = bytearray(path.read_bytes())
    end = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    at = int(place if place >= 1 else place * end)
    data[at] ^= 0x20
    other = path.with_suffix(".altered")
    other.write_bytes(data)

    with pytest.raises(BrokenEpisode):
        read_episode(other)


def episode_table(header: Any, make_rows: Any) -> Any:
    time_s, signals = make_rows(header, 50)
    schema = schema_of(header)
    arrays = [pa.array(time_s)]
    for field in list(schema)[1:]:
        flat = pa.array(signals[field.name].reshape(-1))
        arrays.append(pa.FixedSizeListArray.from_arrays(flat, type=field.type))
    return pa.table(arrays, schema=schema)


def test_other_layouts_are_pyarrows(tmp_path: Path) -> None:
    """Gaps, texts, free lengths and other numbers are not ours to write; nor is a table without a row."""
    gaps = pa.schema([pa.field("x", pa.float64())])
    inner = pa.schema([pa.field("x", pa.list_(pa.float32(), 3), nullable=False)])
    others = [
        pa.schema([pa.field("x", kind, nullable=False)]) for kind in (pa.string(), pa.int16(), pa.list_(pa.float32()))
    ]
    assert not any(is_plain(schema) for schema in (gaps, inner, *others))
    empty = pa.schema([pa.field("x", pa.float64(), nullable=False)]).empty_table()

    write_sealed(empty, tmp_path / "empty")

    assert pq.read_table(tmp_path / "empty").equals(empty)


BARE = pa.schema(
    [
        pa.field("episode", pa.string(), nullable=False),
        pa.field("time_s", pa.float64(), nullable=False),
        pa.field("state", pa.list_(pa.field("element", pa.float32(), nullable=False), 3)),
    ]
)


def bare_table(name: str, rows: int, *, gap: bool = False, names: int = 1) -> Any:
    """Return a table as a projection has it; with a gap or several names it is none that can be written bare."""
    flat = pa.array(np.arange(3 * rows, dtype=np.float32) - 7.5)
    mask = pa.array([gap and row == rows - 1 for row in range(rows)])
    lists = pa.FixedSizeListArray.from_arrays(flat, type=BARE.field(2).type, mask=mask if gap else None)
    texts = pa.array([name + "'" * (row % names) for row in range(rows)])
    return pa.table([texts, pa.array(np.arange(rows) / 8.0), lists], schema=BARE)


@given(name=st.text(max_size=40), rows=st.integers(1, 70))
@settings(max_examples=20, deadline=None)
def test_a_bare_file_is_its_columns_and_nothing_else(name: str, rows: int) -> None:
    """To pyarrow and to DuckDB: any name, any number of rows; no metadata, no sums; limits are those of the values."""
    table, file = bare_table(name, rows), io.BytesIO()

    found = write_bare(table, file)

    assert found == {"episode": (name, name), "time_s": (0.0, (rows - 1) / 8.0), "state": (-7.5, 3 * rows - 8.5)}
    read = pq.read_table(io.BytesIO(file.getvalue()), page_checksum_verification=True)
    assert read.to_pylist() == table.to_pylist()
    assert [field.nullable for field in read.schema] == [False, False, True]
    said = pq.read_metadata(io.BytesIO(file.getvalue()))
    assert said.metadata is None
    assert said.row_group(0).column(0).statistics.max == name
    assert sum(said.row_group(0).column(index).total_compressed_size for index in range(3)) < len(file.getvalue())


def test_a_bare_file_of_many_pages_is_read_by_duckdb(tmp_path: Path) -> None:
    """An engine that shares no code with pyarrow or with us."""
    rows = PAGE_BYTES // 12 * 2 + 5
    with open(tmp_path / "bare.parquet", "wb") as file:
        assert write_bare(bare_table("walk", rows), file) is not None

    db = duckdb.connect()
    sums = f"SELECT count(*), sum(time_s), sum(list_sum(state)), max(episode) FROM '{tmp_path / 'bare.parquet'}'"
    said = db.execute(sums).fetchone()

    assert said is not None
    assert said[0] == rows
    assert said[1] == rows * (rows - 1) / 16
    assert said[2] == pytest.approx(sum(range(3 * rows)) - 7.5 * 3 * rows)
    assert said[3] == "walk"


def test_what_is_not_plain_is_not_written_bare() -> None:
    """A missing list, several texts, no row at all: nothing is written, and somebody else has to."""
    for table in (bare_table("x", 5, gap=True), bare_table("x", 5, names=2), bare_table("x", 5)[:0]):
        file = io.BytesIO()
        assert write_bare(table, file) is None
        assert not file.getvalue()
