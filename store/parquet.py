"""A sealed file is Parquet; here it is written, by hand where most episodes have the same plain layout.

That layout is numbers without gaps, each row a fixed number of them. pyarrow's writer spends most of its time on
telling lists apart: where each one starts, value by value. Here all have one length, so that is a pattern of bits that
is made once; what is left is what has to be done with the numbers themselves: split their bytes, compress, sum. The
files are of the plain format (apache/parquet-format 2.9: thrift's compact protocol, data pages of version 1,
BYTE_STREAM_SPLIT, zstd, CRC-32 of each page), with the schema as Arrow keeps it, and say the same as pyarrow's; those
of other layouts are pyarrow's own. `write_bare` writes the like for others: a column may be one text all along,
lists may be of a kind that could be missing, and nothing is said that is not in the columns.
"""

import base64
import functools
import hashlib
import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]
import pyarrow.compute as pc  # type: ignore[import-untyped,unused-ignore]
import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]

from store.camera import IMAGE_PREFIX
from store.layout import float_leaves

if TYPE_CHECKING:
    from typing_extensions import Buffer

PAGE_BYTES = 1 << 20
"""Most bytes of values in a page, as pyarrow has it."""
_MAGIC = b"PAR1"
_CREATED_BY = "palaestra"
# parquet.thrift: Type, ConvertedType, FieldRepetitionType, Encoding, CompressionCodec.
_INT64, _FLOAT, _DOUBLE, _BYTE_ARRAY = 2, 4, 5, 6
_UTF8, _LIST, _UINT_64 = 0, 3, 14
_REQUIRED, _OPTIONAL, _REPEATED = 0, 1, 2
_PLAIN, _RLE, _RLE_DICTIONARY, _BYTE_STREAM_SPLIT = 0, 3, 8, 9
_ZSTD = 6


def write_sealed(table: Any, path: Path) -> str:
    """Write the table of one episode as a Parquet file of one row group; return the SHA-256 of its bytes.

    Joint signals are noise to a dictionary coder but smooth in their high bytes: byte-stream split with the
    fastest zstd level made 20 % smaller files at 0.9 of the plain speed. Page checksums let a reader name the
    place of a damage. Packets of cameras are compressed already, and stay as they are.
    """
    if len(table) and is_plain(table.schema):
        return write_plain(table, path)
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
    with _Hashed(path) as file:
        pq.write_table(
            table,
            file,
            row_group_size=max(1, table.num_rows),
            use_dictionary=False,
            **plain,
            write_statistics=True,
            write_page_checksum=True,
            store_schema=True,
        )
    return file.sha256


def is_plain(schema: Any) -> bool:
    """Return whether every column is of numbers without gaps, one or a fixed number of them in a row."""
    return all(not field.nullable and _number(field.type) is not None for field in schema)


class _Hashed(io.FileIO):
    """A new file that is hashed as it is written: nothing is read a second time for its name."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "wb")
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """The SHA-256 of what was written so far."""
        return self._digest.hexdigest()

    def write(self, data: "Buffer") -> int:
        """Write all of it, and return how many bytes that were. Raises OSError."""
        left = memoryview(data).cast("B")
        self._digest.update(left)
        size_bytes = len(left)
        while len(left):
            # A disk that becomes full takes a part first, and says why with the rest.
            left = left[super().write(left) :]
        return size_bytes


def write_plain(table: Any, path: Path) -> str:
    """Write a table, of which `is_plain` is true, as a Parquet file of one row group; return its SHA-256.

    It has at least one row; the metadata of its schema goes into the file. Raises OSError.
    """
    with _Hashed(path) as file:
        _write(table, file, bare=False)
    return file.sha256


def write_bare(table: Any, file: BinaryIO) -> dict[str, tuple[Any, Any]] | None:
    """Write a table as a Parquet file of one row group with its columns alone: no metadata, no sums of pages.

    Every column is of numbers without gaps as for `write_plain`, though its field may say that a list could be missing,
    or is a text that is the same in all rows. Raises OSError.

    Returns:
        The least and the largest value of each column; None if it cannot be written so, and nothing was.
    """
    if not len(table) or not all(_bare(table, field) for field in table.schema):
        return None
    return _write(table, file, bare=True)


def _bare(table: Any, field: Any) -> bool:
    column = table.column(field.name)
    if column.null_count:
        return False
    if pa.types.is_string(field.type):
        return not field.nullable and len(pc.unique(column)) == 1
    found = _number(field.type)
    return found is not None and (not field.nullable or bool(found[1]))


def _write(table: Any, file: BinaryIO, *, bare: bool) -> dict[str, tuple[Any, Any]]:
    codec = pa.Codec("zstd", compression_level=1)
    chunks, all_bytes, end = [], 0, len(_MAGIC)
    ranges: dict[str, tuple[Any, Any]] = {}
    file.write(_MAGIC)
    for field in table.schema:
        column = table.column(field.name)
        if pa.types.is_string(field.type):
            text = column[0].as_py()
            ranges[field.name] = text, text
            pages = _constant(text.encode(), len(table), codec)
            raw_bytes, size_bytes = pages.raw_bytes, file.write(pages.dictionary + pages.numbers)
            chunk = _constant_chunk(field, text.encode(), len(table), end, pages)
        else:
            width = _number(field.type)[1]  # type: ignore[index]
            parts = [_numbers(part, width) for part in column.chunks if len(part)]
            raw_bytes = size_bytes = 0
            limits: list[tuple[Any, Any]] = []
            for body, count in _pages(parts, len(table), width, 1 + field.nullable, limits):
                page = codec.compress(body)
                head = _page_head(len(body), page, count, checked=not bare)
                file.write(head)
                file.write(page)
                raw_bytes += len(head) + len(body)
                size_bytes += len(head) + len(page)
            # NumPy's own keep what is not a number; Python's would pass over it.
            least, most = np.min([page[0] for page in limits]), np.max([page[1] for page in limits])
            ranges[field.name] = least.item(), most.item()
            chunk = _chunk(field, len(table), end, raw_bytes, size_bytes, _limits(least, most))
        end += size_bytes
        chunks.append(chunk)
        all_bytes += raw_bytes
    footer = _footer(table.schema, len(table), all_bytes, chunks, bare=bare)
    file.write(footer + len(footer).to_bytes(4, "little") + _MAGIC)
    return ranges


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


def _limits(least: Any, most: Any) -> tuple[bytes, bytes] | None:
    """Return the bytes of the least and the largest number; none where one is none, for it has no place in an order."""
    if least != least or most != most:
        return None
    # Both zeros are one number, and a reader may look for either (parquet.thrift, TypeDefinedOrder).
    if least == 0 and least.dtype.kind == "f":
        least = -np.abs(least)
    return least.tobytes(), (np.abs(most) if most == 0 else most).tobytes()


def _pages(
    parts: list[np.ndarray], all_rows: int, width: int, present: int, limits: list[tuple[Any, Any]]
) -> Iterator[tuple[np.ndarray, int]]:
    """Yield each page as it is compressed, uint8, and how many numbers are in it. The array may be filled anew.

    Where lists start comes first, then the numbers with their bytes split: the lowest byte of all, then the next.
    `present` is the level at which a number of a list is there. The least and the largest number of each page go to
    `limits`.
    """
    size = parts[0].dtype.itemsize
    page_rows = max(1, PAGE_BYTES // (size * max(1, width)))
    body, numbers = np.empty(0, np.uint8), np.empty(0, parts[0].dtype)
    left, source, begin = all_rows, 0, 0
    while left:
        rows = min(left, page_rows)
        count = rows * max(1, width)
        levels = _levels(rows, width, present) if width else b""
        if len(body) != len(levels) + count * size:
            body, numbers = np.empty(len(levels) + count * size, np.uint8), np.empty(count, parts[0].dtype)
            bits = numbers.view(f"<u{size}")
            shifted = np.empty_like(bits)
        body[: len(levels)] = np.frombuffer(levels, np.uint8)
        filled = 0
        # Gathered first: blocks of half a second are too small to be worth a call of each step.
        while filled < count:
            part = parts[source][begin : begin + count - filled]
            numbers[filled : filled + len(part)] = part
            filled += len(part)
            begin += len(part)
            if begin == len(parts[source]):
                source, begin = source + 1, 0
        limits.append((numbers.min(), numbers.max()))
        planes = body[len(levels) :].reshape(size, count)
        for place in range(size):
            # Shifted and cut off, for which processors have instructions, rather than picked byte by byte.
            np.right_shift(bits, 8 * place, out=shifted)
            np.copyto(planes[place], shifted, casting="unsafe")
        yield body, count
        left -= rows


@functools.lru_cache(maxsize=64)
def _levels(rows: int, width: int, level: int) -> bytes:
    """Return where lists start, and that nothing is missing: repetition levels 0 1 1 ..., definition levels all alike.

    Each is a length and the hybrid of runs and packed bits (parquet-format, Encodings.md, "RLE").
    """
    count = rows * width
    bits = np.ones(-(-count // 8) * 8, np.uint8)
    bits[:count:width] = 0
    starts = _varint((len(bits) // 8) << 1 | 1) + np.packbits(bits, bitorder="little").tobytes()
    present = _varint(count << 1) + bytes([level])
    return len(starts).to_bytes(4, "little") + starts + len(present).to_bytes(4, "little") + present


def _page_head(raw_bytes: int, packed: Any, values: int, *, checked: bool) -> bytes:
    data_page = _struct((1, _i32(values)), (2, _i32(_BYTE_STREAM_SPLIT)), (3, _i32(_RLE)), (4, _i32(_RLE)))
    told = [(1, _i32(0)), (2, _i32(raw_bytes)), (3, _i32(len(packed)))]
    if checked:
        crc = zlib.crc32(packed)
        told.append((4, _i32(crc - (1 << 32) if crc >> 31 else crc)))
    return _struct(*told, (5, (_STRUCT, data_page)))


@dataclass(frozen=True)
class _Constant:
    """The two pages of a column that is one text all along, and what they would take uncompressed [bytes]."""

    dictionary: bytes
    numbers: bytes
    raw_bytes: int


def _constant(text: bytes, rows: int, codec: Any) -> _Constant:
    """Return a dictionary of one text, and a run of its number 0, of one bit (parquet-format, Encodings.md)."""
    raw, found = 0, []
    word = struct.pack("<I", len(text)) + text
    of_words = (7, (_STRUCT, _struct((1, _i32(1)), (2, _i32(_PLAIN)))))
    of_rows = _struct((1, _i32(rows)), (2, _i32(_RLE_DICTIONARY)), (3, _i32(_RLE)), (4, _i32(_RLE)))
    for kind, body, told in ((2, word, of_words), (0, b"\x01" + _varint(rows << 1) + b"\x00", (5, (_STRUCT, of_rows)))):
        packed = codec.compress(body).to_pybytes()
        head = _struct((1, _i32(kind)), (2, _i32(len(body))), (3, _i32(len(packed))), told)
        found.append(head + packed)
        raw += len(head) + len(body)
    return _Constant(found[0], found[1], raw)


def _constant_chunk(field: Any, text: bytes, rows: int, offset: int, pages: _Constant) -> bytes:
    size_bytes = len(pages.dictionary) + len(pages.numbers)
    limits = _struct((3, _i64(0)), (5, (_BINARY, _bytes(text))), (6, (_BINARY, _bytes(text))))
    told = _struct(
        (1, _i32(_BYTE_ARRAY)), (2, _list(_I32, [_zigzag(one) for one in (_PLAIN, _RLE, _RLE_DICTIONARY)])),
        (3, _list(_BINARY, [_text(field.name)])), (4, _i32(_ZSTD)), (5, _i64(rows)), (6, _i64(pages.raw_bytes)),
        (7, _i64(size_bytes)), (9, _i64(offset + len(pages.dictionary))), (11, _i64(offset)), (12, (_STRUCT, limits)),
    )  # fmt: skip
    return _struct((2, _i64(0)), (3, (_STRUCT, told)))


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
        name = (_BINARY, _text(field.name))
        if pa.types.is_string(field.type):
            of_text = (_STRUCT, _struct((1, (_STRUCT, _struct()))))
            told = [(1, _i32(_BYTE_ARRAY)), (3, _i32(_REQUIRED)), (4, name), (6, _i32(_UTF8)), (10, of_text)]
            elements.append(_struct(*told))
            continue
        physical, width = _number(field.type)  # type: ignore[misc]
        if width:
            of_list = (_STRUCT, _struct((3, (_STRUCT, _struct()))))
            outer = _i32(_OPTIONAL if field.nullable else _REQUIRED)
            elements.append(_struct((3, outer), (4, name), (5, _i32(1)), (6, _i32(_LIST)), (10, of_list)))
            elements.append(_struct((3, _i32(_REPEATED)), (4, (_BINARY, _text("list"))), (5, _i32(1))))
            name = (_BINARY, _text("element"))
        told = [(1, _i32(physical)), (3, _i32(_REQUIRED)), (4, name)]
        if physical == _INT64:
            whole = _struct((1, (_BYTE, b"\x40")), (2, (_FALSE, b"")))
            told += [(6, _i32(_UINT_64)), (10, (_STRUCT, _struct((10, (_STRUCT, whole)))))]
        elements.append(_struct(*told))
    return _list(_STRUCT, elements)


def _footer(schema: Any, rows: int, raw_bytes: int, chunks: list[bytes], *, bare: bool) -> bytes:
    group = _struct((1, _list(_STRUCT, chunks)), (2, _i64(raw_bytes)), (3, _i64(rows)))
    told = [
        (1, _i32(2)), (2, _elements(schema.remove_metadata())), (3, _i64(rows)), (4, _list(_STRUCT, [group])),
    ]  # fmt: skip
    if not bare:
        words = {**(schema.metadata or {}), b"ARROW:schema": base64.b64encode(schema.serialize())}
        pairs = [_struct((1, (_BINARY, _bytes(key))), (2, (_BINARY, _bytes(value)))) for key, value in words.items()]
        told.append((5, _list(_STRUCT, pairs)))
    typed = _struct((1, (_STRUCT, _struct())))
    return _struct(*told, (6, (_BINARY, _text(_CREATED_BY))), (7, _list(_STRUCT, [typed] * len(schema))))


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
