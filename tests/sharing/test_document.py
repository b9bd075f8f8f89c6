"""JSON from somebody hostile: what it may cost to look at, before it is refused."""

import time

import pytest

from sharing.document import BadDocument, parse


@pytest.mark.parametrize("end", [b"", b"\\", b"\\\n", b'\\"\\'], ids=["open", "escape", "newline", "both"])
def test_a_text_that_nobody_closes_costs_no_more_than_its_length(end: bytes) -> None:
    """Tried anew from each of its quotes, a quarter of this took half a minute of the thread that serves all."""
    text = b'"' + b'\\"' * 100_000 + end
    began_s = time.thread_time()
    with pytest.raises(BadDocument):
        parse(text, max_bytes=1 << 20)
    assert time.thread_time() - began_s < 20.0


def test_brackets_in_texts_are_not_depth_and_those_beside_them_are() -> None:
    inside = b"[" * 40
    assert parse(b'{"a\\"%s": "\\\\", "b": "%s"}' % (inside, inside), max_bytes=1_000)["b"] == inside.decode()
    with pytest.raises(BadDocument, match="deeper"):
        parse(b'["\\\\", %s' % inside, max_bytes=1_000)
