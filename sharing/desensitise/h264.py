"""Packets of H.264 in Annex B, taken apart into their units."""

from collections.abc import Iterator

IDR, SEI = 5, 6
"""Types of units (ITU-T H.264, table 7-1): a picture from which decoding can begin; supplemental enhancement
information, in which encoders and others write what they like."""


def type_of(unit: bytes) -> int:
    """Return the type of a unit."""
    return unit[0] & 0x1F


def without_notes(packet: bytes) -> bytes:
    """Return an H.264 packet (Annex B) without its notes: what encoders write of themselves."""
    return b"".join(b"\0\0\0\1" + unit for unit in units(packet) if type_of(unit) != SEI)


def units(packet: bytes) -> Iterator[bytes]:
    """Yield the units of a packet. Inside of one there is no start code (ITU-T H.264, B.1 and 7.4.1)."""
    for part in packet.split(b"\0\0\1")[1:]:
        # A unit ends with a bit that is set; zeros behind it belong to the next start code.
        unit = part.rstrip(b"\0")
        if unit:
            yield unit
