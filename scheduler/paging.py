"""Keyset pages. A token says where the next page starts and for which call; it gives no right to anything."""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from palaestra.errors import PalaestraError

SIZE_DEFAULT = 50
SIZE_MAX = 1000
_MAC_BYTES = 12
# Keys are padded to a multiple of this, so that the length of a token tells nothing about a number in it.
_PAD_BYTES = 32


@dataclass(frozen=True)
class Page:
    """Where a page starts and how long it may be. `after`: key of the last row before it; None for the first page."""

    after: str | None
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
            sealed = base64.b64decode(token, altchars=b"-_", validate=True)
            last = self._veil(sealed[:_MAC_BYTES], sealed[_MAC_BYTES:]).rstrip(b"\0").decode()
        except ValueError:
            raise PalaestraError("PAGE_TOKEN_INVALID", "the page token is not one of ours") from None
        if not hmac.compare_digest(sealed[:_MAC_BYTES], self._mac(last, scope)):
            raise PalaestraError("PAGE_TOKEN_INVALID", "the page token is not one of this list call")
        return Page(last, size)

    def token(self, last: str | int, scope: Sequence[str]) -> str:
        """Return the token of the page after the row with key `last`."""
        mac = self._mac(str(last), scope)
        key = str(last).encode()
        padded = key.ljust(-(-len(key) // _PAD_BYTES) * _PAD_BYTES, b"\0")
        return base64.urlsafe_b64encode(mac + self._veil(mac, padded)).decode()

    def _veil(self, mac: bytes, data: bytes) -> bytes:
        """Cover or uncover data with a stream that belongs to the MAC: row ids would tell how many jobs others have."""
        blocks = range(-(-len(data) // _PAD_BYTES))
        stream = b"".join(
            hmac.new(self._secret, b"veil\0%d\0" % block + mac, hashlib.sha256).digest() for block in blocks
        )
        return bytes(a ^ b for a, b in zip(data, stream, strict=False))

    def _mac(self, last: str, scope: Sequence[str]) -> bytes:
        text = "\0".join([last, *scope]).encode()
        return hmac.new(self._secret, b"page\0" + text, hashlib.sha256).digest()[:_MAC_BYTES]
