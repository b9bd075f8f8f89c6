"""Keyset pages. A token says where the next page starts and for which call; it gives no right to anything."""

import base64
import hashlib
import hmac
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from palaestra.errors import PalaestraError

SIZE_DEFAULT = 50
SIZE_MAX = 1000
_MAC_BYTES = 12
T = TypeVar("T")


@dataclass(frozen=True)
class Page:
    """Where a page starts and how long it may be. `before`: only rows with a smaller id; None for the first page."""

    before: int | None
    size: int


class Pager:
    """Makes and reads page tokens, sealed with the venue's secret."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def page(self, token: str, size: int, scope: Sequence[str]) -> Page:
        """Return the page that a request asks for. scope: all that the list depends on. Raises PAGE_TOKEN_INVALID."""
        size = min(size or SIZE_DEFAULT, SIZE_MAX)
        if not token:
            return Page(None, size)
        try:
            sealed = base64.urlsafe_b64decode(token.encode())
            (last,) = struct.unpack(">q", sealed[_MAC_BYTES:])
        except (ValueError, struct.error):
            raise PalaestraError("PAGE_TOKEN_INVALID", "the page token is not one of ours") from None
        if not hmac.compare_digest(sealed[:_MAC_BYTES], self._mac(last, scope)):
            raise PalaestraError("PAGE_TOKEN_INVALID", "the page token is of another list call")
        return Page(last, size)

    def token(self, last: int, scope: Sequence[str]) -> str:
        """Return the token of the page after the row with id `last`."""
        return base64.urlsafe_b64encode(self._mac(last, scope) + struct.pack(">q", last)).decode()

    def _mac(self, last: int, scope: Sequence[str]) -> bytes:
        text = "\0".join([str(last), *scope]).encode()
        return hmac.new(self._secret, b"page\0" + text, hashlib.sha256).digest()[:_MAC_BYTES]
