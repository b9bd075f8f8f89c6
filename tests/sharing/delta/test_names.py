"""Names, schemas and capabilities: the small print of the protocol."""

import json

import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharing.delta.capabilities import Format, read
from sharing.delta.names import folded, is_share_name, schema_name, table_names
from sharing.delta.schema import NoSuchType, schema_string


@given(st.sets(st.text(st.sampled_from("ab._-/:AB"), min_size=1, max_size=6), max_size=8))
def test_tables_have_names_that_the_protocol_allows_and_no_two_the_same(tables: set[str]) -> None:
    seen = table_names(tables)
    assert sorted(seen.values()) == sorted(tables)
    assert len({folded(name) for name in seen}) == len(tables)
    for name in seen:
        assert not set(name) & set(". /:") and len(name) <= 255


def test_a_name_does_not_depend_on_the_order_of_the_others() -> None:
    assert table_names(["a.b", "a_b", "c"]) == table_names(["c", "a_b", "a.b"])
    assert table_names(["a.b"]) == {"a_b": "a.b"}


def test_a_data_set_gives_its_schema_a_name_without_periods() -> None:
    assert schema_name("vendors/a/datasets/walks.v2") == "walks_v2"


@pytest.mark.parametrize("name", ["", "a b", "a/b", "é", "a" * 64, "-a", "a.b", "a\n"])
def test_a_share_is_not_called_what_a_client_cannot_send(name: str) -> None:
    assert not is_share_name(name)


def test_types_have_deltas_names() -> None:
    schema = pa.schema({
        "a": pa.string(), "b": pa.int64(), "c": pa.float32(), "d": pa.binary(), "e": pa.bool_(),
        "f": pa.list_(pa.field("element", pa.float64(), nullable=False)), "g": pa.timestamp("us", "UTC"),
        "h": pa.struct({"i": pa.int8()}),
    }, metadata={"secret": "of the source"})  # fmt: skip
    text = schema_string(schema)
    assert "secret" not in text
    types = {field["name"]: field["type"] for field in json.loads(text)["fields"]}
    assert [types[name] for name in "abcdeg"] == ["string", "long", "float", "binary", "boolean", "timestamp"]
    assert types["f"] == {"type": "array", "elementType": "double", "containsNull": False}
    assert types["h"]["fields"][0]["type"] == "byte"
    with pytest.raises(NoSuchType):
        schema_string(pa.schema({"a": pa.uint16()}))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", Format.PARQUET),
        ("responseFormat=DELTA", Format.DELTA),
        ("responseformat=delta,parquet;readerfeatures=x", Format.PARQUET),
        ("responseformat=avro", Format.PARQUET),
        (";;==,,", Format.PARQUET),
    ],
)
def test_a_client_gets_a_format_that_it_reads(header: str, expected: Format) -> None:
    assert read(header).format is expected
