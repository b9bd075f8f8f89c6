"""A sealed file is Parquet; here it is written, by hand where most episodes have the same plain layout.

That layout is numbers without gaps, each row a fixed number of them. pyarrow's writer spends most of its time on
telling lists apart: where each one starts, value by value. Here all have one length, so that is a pattern of bits that
is made once; what is left is what has to be done with the numbers themselves: split their bytes, compress, sum. The
files are of the plain format (apache/parquet-format 2.9: thrift's compact protocol, data pages of version 1,
BYTE_STREAM_SPLIT, zstd, CRC-32 of each page), with the schema as Arrow keeps it, and say the same as pyarrow's; those
of other layouts are pyarrow's own.
"""

import base64
import functools
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]
import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]

from store.camera import IMAGE_PREFIX
from store.layout import float_leaves

PAGE_BYTES = 1 << 20
"""Most bytes of values in a page, as pyarrow has it."""
_MAGIC = b"PAR1"
_CREATED_BY = "palaestra"
# parquet.thrift: Type, ConvertedType, FieldRepetitionType, Encoding, CompressionCodec.
_INT64, _FLOAT, _DOUBLE = 2, 4, 5
_LIST, _UINT_64 = 3, 14
_REQUIRED, _REPEATED = 0, 2
_RLE, _BYTE_STREAM_SPLIT = 3, 9
_ZSTD = 6


def write_sealed(table: Any, path: Path) -> None:
    """Write the table of one episode as a Parquet file of one row group.

    Joint signals are noise to a dictionary coder but smooth in their high bytes: byte-stream split with the
    fastest zstd level made 20 % smaller files at 0.9 of the plain speed. Page checksums let a reader name the
    place of a damage. Packets of cameras are compressed already, and stay as they are.
    """
    if len(table) and is_plain(table.schema):
        write_plain(table, path)
        return
    packets = {field.name for field in table.schema if field.name.startswith(IMAGE_PREFIX)}
    plain: dict[str, Any] = {"compression": "zstd", "compression_level": 1, "use_byte_stream_split": True}
    # By column, as Parquet names what is in it.
    paths = [f.name if not f.type.num_fields else f"{f.name}.list.element" for f in table.schema]
    packed = [path for path in paths if path not in packets]
    if packets:
        plain = {
            "compression": {path: "NONE" if path in packets else "zstd" for path in paths},
            "compression_level": dict.fromkeys(packed, 1),
            "use_byte_stream_split": packed,
        }
    if any(field.nullable and field.name not in packets for field in table.schema):
        # Texts and integers of 16 bits have nothing to split, and Parquet's writer refuses them.
        plain["use_byte_stream_split"] = float_leaves(table.schema)
    pq.write_table(
        table,
        path,
        row_group_size=max(1, table.num_rows),
        use_dictionary=False,
        **plain,
        write_statistics=True,
        write_page_checksum=True,
        store_schema=True,
    )


def is_plain(schema: Any) -> bool:
    """Return whether every column is of numbers without gaps, one or a fixed number of them in a row."""
    return all(not field.nullable and _number(field.type) is not None for field in schema)


def write_plain(table: Any, path: Path) -> None:
    """Write a table, of which `is_plain` is true, as a Parquet file of one row group.

    It has at least one row; the metadata of its schema goes into the file. Raises OSError.
    """
    codec = pa.Codec("zstd", compression_level=1)
    chunks, all_bytes = [], 0
    with open(path, "wb") as file:
        file.write(_MAGIC)
        for field in table.schema:
            offset = file.tell()
            raw_bytes = 0
            width = _number(field.type)[1]  # type: ignore[index]
            parts = [_numbers(chunk, width) for chunk in table.column(field.name).chunks if len(chunk)]
            for body, count in _pages(parts, len(table), width):
                packed = codec.compress(body)
                head = _page_head(len(body), packed, count)
                file.write(head)
                file.write(packed)
                raw_bytes += len(head) + len(body)
            limits = _limits(parts)
            chunks.append(_chunk(field, len(table), offset, raw_bytes, file.tell() - offset, limits))
            all_bytes += raw_bytes
        footer = _footer(table.schema, len(table), all_bytes, chunks)
        file.write(footer + len(footer).to_bytes(4, "little") + _MAGIC)


def _number(kind: Any) -> tuple[int, int] | None:
    """Return the physical type and how many numbers a row has; 0: one that is no list. None for other types."""
    if kind == pa.float64():
        return _DOUBLE, 0
    if kind == pa.uint64():
        return _INT64, 0
    if pa.types.is_fixed_size_list(kind) and not kind.value_field.nullable and kind.list_size > 0:
        if kind.value_type == pa.float32():
            return _FLOAT, int(kind.list_size)
        if kind.value_type == pa.float64():
            return _DOUBLE, int(kind.list_size)
    return None


def _numbers(chunk: Any, width: int) -> np.ndarray:
    """Return the numbers of an array, or of its lists, where they are."""
    if width:
        chunk = chunk.values[chunk.offset * width : (chunk.offset + len(chunk)) * width]
    numbers: np.ndarray = chunk.to_numpy()
    return numbers


def _limits(parts: list[np.ndarray]) -> tuple[bytes, bytes] | None:
    """Return the least and the largest number; none where one is not a number, for it has no place in an order."""
    # NumPy's own keep what is not a number; Python's would pass over it.
    least, most = np.min([part.min() for part in parts]), np.max([part.max() for part in parts])
    if least != least or most != most:
        return None
    # Both zeros are one number, and a reader may look for either (parquet.thrift, TypeDefinedOrder).
    if least == 0 and parts[0].dtype.kind == "f":
        least = -np.abs(least)
    return least.tobytes(), (np.abs(most) if most == 0 else most).tobytes()


def _pages(parts: list[np.ndarray], all_rows: int, width: int) -> Iterator[tuple[np.ndarray, int]]:
    """Yield each page as it is compressed, uint8, and how many numbers are in it. The array may be filled anew.

    Where lists start comes first, then the numbers with their bytes split: the lowest byte of all, then the next.
    """
    size = parts[0].dtype.itemsize
    page_rows = max(1, PAGE_BYTES // (size * max(1, width)))
    body = np.empty(0, np.uint8)
    left, source, begin = all_rows, 0, 0
    while left:
        rows = min(left, page_rows)
        count = rows * max(1, width)
        levels = _levels(rows, width) if width else b""
        if len(body) != len(levels) + count * size:
            body = np.empty(len(levels) + count * size, np.uint8)
        body[: len(levels)] = np.frombuffer(levels, np.uint8)
        planes = body[len(levels) :].reshape(size, count)
        filled = 0
        while filled < count:
            part = parts[source][begin : begin + count - filled]
            planes[:, filled : filled + len(part)] = part.view(np.uint8).reshape(-1, size).T
            filled += len(part)
            begin += len(part)
            if begin == len(parts[source]):
                source, begin = source + 1, 0
        yield body, count
        left -= rows


@functools.lru_cache(maxsize=64)
def _levels(rows: int, width: int) -> bytes:
    """Return where lists start, and that nothing is missing: repetition levels 0 1 1 ..., definition levels all 1.

    Each is a length and the hybrid of runs and packed bits (parquet-format, Encodings.md, "RLE").
    """
    count = rows * width
    bits = np.ones(-(-count // 8) * 8, np.uint8)
    bits[:count:width] = 0
    starts = _varint((len(bits) // 8) << 1 | 1) + np.packbits(bits, bitorder="little").tobytes()
    present = _varint(count << 1) + b"\x01"
    return len(starts).to_bytes(4, "little") + starts + len(present).to_bytes(4, "little") + present


def _page_head(raw_bytes: int, packed: Any, values: int) -> bytes:
    data_page = _struct((1, _i32(values)), (2, _i32(_BYTE_STREAM_SPLIT)), (3, _i32(_RLE)), (4, _i32(_RLE)))
    crc = zlib.crc32(packed)
    return _struct(
        (1, _i32(0)), (2, _i32(raw_bytes)), (3, _i32(len(packed))),
        (4, _i32(crc - (1 << 32) if crc >> 31 else crc)), (5, (_STRUCT, data_page)),
    )  # fmt: skip


def _chunk(
    field: Any, rows: int, offset: int, raw_bytes: int, packed_bytes: int, limits: tuple[bytes, bytes] | None
) -> bytes:
    physical, width = _number(field.type)  # type: ignore[misc]
    path = [field.name, "list", "element"] if width else [field.name]
    told = [
        (1, _i32(physical)), (2, _list(_I32, [_zigzag(_BYTE_STREAM_SPLIT), _zigzag(_RLE)])),
        (3, _list(_BINARY, [_text(part) for part in path])), (4, _i32(_ZSTD)), (5, _i64(rows * max(1, width))),
        (6, _i64(raw_bytes)), (7, _i64(packed_bytes)), (9, _i64(offset)),
    ]  # fmt: skip
    if limits is not None:
        least, most = limits
        statistics = _struct((3, _i64(0)), (5, (_BINARY, _bytes(most))), (6, (_BINARY, _bytes(least))))
        told.append((12, (_STRUCT, statistics)))
    return _struct((2, _i64(0)), (3, (_STRUCT, _struct(*told))))


@functools.lru_cache(maxsize=64)
def _elements(schema: Any) -> tuple[int, bytes]:
    """Return the tree of the schema's columns, as pyarrow would name and nest it."""
    elements = [_struct((4, (_BINARY, _text("schema"))), (5, _i32(len(schema))))]
    for field in schema:
        physical, width = _number(field.type)  # type: ignore[misc]
        name = (_BINARY, _text(field.name))
        if width:
            of_list = (_STRUCT, _struct((3, (_STRUCT, _struct()))))
            elements.append(_struct((3, _i32(_REQUIRED)), (4, name), (5, _i32(1)), (6, _i32(_LIST)), (10, of_list)))
            elements.append(_struct((3, _i32(_REPEATED)), (4, (_BINARY, _text("list"))), (5, _i32(1))))
            name = (_BINARY, _text("element"))
        told = [(1, _i32(physical)), (3, _i32(_REQUIRED)), (4, name)]
        if physical == _INT64:
            whole = _struct((1, (_BYTE, b"\x40")), (2, (_FALSE, b"")))
            told += [(6, _i32(_UINT_64)), (10, (_STRUCT, _struct((10, (_STRUCT, whole)))))]
        elements.append(_struct(*told))
    return _list(_STRUCT, elements)


def _footer(schema: Any, rows: int, raw_bytes: int, chunks: list[bytes]) -> bytes:
    group = _struct((1, _list(_STRUCT, chunks)), (2, _i64(raw_bytes)), (3, _i64(rows)))
    words = {**(schema.metadata or {}), b"ARROW:schema": base64.b64encode(schema.serialize())}
    pairs = [_struct((1, (_BINARY, _bytes(key))), (2, (_BINARY, _bytes(value)))) for key, value in words.items()]
    typed = _struct((1, (_STRUCT, _struct())))
    return _struct(
        (1, _i32(2)), (2, _elements(schema.remove_metadata())), (3, _i64(rows)), (4, _list(_STRUCT, [group])),
        (5, _list(_STRUCT, pairs)), (6, (_BINARY, _text(_CREATED_BY))), (7, _list(_STRUCT, [typed] * len(schema))),
    )  # fmt: skip


# Thrift's compact protocol (apache/thrift, doc/specs/thrift-compact-protocol.md): as much of it as a footer needs.
_FALSE, _BYTE, _I32, _I64, _BINARY, _LIST_OF, _STRUCT = 2, 3, 5, 6, 8, 9, 12
_SMALL = [bytes([value]) for value in range(0x80)]
Field = tuple[int, tuple[int, bytes]]
"""Number, type, value."""


def _struct(*fields: Field) -> bytes:
    """Return a structure; fields come by rising numbers, less than 16 apart."""
    out, last = bytearray(), 0
    for number, (kind, value) in fields:
        out.append((number - last) << 4 | kind)
        out += value
        last = number
    out.append(0)
    return bytes(out)


def _list(kind: int, items: list[bytes]) -> tuple[int, bytes]:
    head = bytes([len(items) << 4 | kind]) if len(items) < 15 else bytes([0xF0 | kind]) + _varint(len(items))
    return _LIST_OF, head + b"".join(items)


def _i32(value: int) -> tuple[int, bytes]:
    return _I32, _zigzag(value)


def _i64(value: int) -> tuple[int, bytes]:
    return _I64, _zigzag(value)


def _zigzag(value: int) -> bytes:
    return _varint(value << 1 if value >= 0 else ((-value) << 1) - 1)


def _text(text: str) -> bytes:
    return _bytes(text.encode())


def _bytes(value: bytes) -> bytes:
    return _varint(len(value)) + value


def _varint(value: int) -> bytes:
    if value <= 0x7F:
        return _SMALL[value]
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
