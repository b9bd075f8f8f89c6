"""What this room signs for itself: addresses of files and tokens of pages, which come back from whoever got them."""

import base64
import hmac
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KEY_BYTES = 32
TOKEN_CHARACTERS = 2_048


class BadToken(Exception):
    """Not a token of this room for this place; nobody is told more."""


class Secret:
    """A key that never leaves the process, and what is derived from it. Safe from any thread."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"key: must be {KEY_BYTES} bytes")
        self._key = key

    @classmethod
    def of(cls, path: Path) -> "Secret":
        """Return the secret of a file, made if it has to be, for its owner's eyes alone. Raises OSError, ValueError."""
        if not path.exists():
            made = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
            descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(descriptor, "wb") as file:
                file.write(secrets.token_bytes(KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(made, path)
            except FileExistsError:
                # Somebody else was faster; there is one key.
                pass
            finally:
                made.unlink()
        return cls(path.read_bytes())

    def code(self, domain: str, *parts: str | int) -> str:
        """Return the HMAC-SHA256 (RFC 2104) over a domain and parts, hexadecimal; no two lists of parts look alike."""
        # Each with its length before it, so that no part can pass for two.
        texts = [str(part) for part in (domain, *parts)]
        message = "".join([f"{len(text)}:{text}" for text in texts]).encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, message, "sha256").hex()

    def holds(self, code: str, domain: str, *parts: str | int) -> bool:
        """Whether a code is the one over domain and parts, in a time that does not tell how much of it is right."""
        return hmac.compare_digest(self.code(domain, *parts).encode(), code.encode("utf-8", "replace"))

    def page(self, value: Any, *place: str) -> str:
        """Return an opaque token of where a listing goes on, good at this place alone.

        place: Whose listing of what it is: a credential's id, the path, and whatever else must not differ.
        """
        body = base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
        return f"{body}.{self.code('page', body, *place)}"

    def page_of(self, token: str, *place: str) -> Any:
        """Return what `page` was given. Raises BadToken."""
        body, _, code = token[:TOKEN_CHARACTERS].partition(".")
        if not self.holds(code, "page", body, *place):
            raise BadToken
        return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


@dataclass(frozen=True)
class Address:
    """What the address of a file says.

    Attributes:
        recipient: Id of the credential that it was given to.
        agreement, epoch: Under which it was granted, and the agreement's epoch then.
        version, table, file: Of the projection; the table by its name in the store, the file by its id.
        expires_s: Seconds since 1970 at which it is over.
    """

    recipient: str
    agreement: str
    epoch: int
    version: int
    table: str
    file: str
    expires_s: int

    def path(self) -> str:
        """Return the path below the files' root; nothing in it is secret, or needs to be escaped."""
        return f"{self.recipient}/{self.agreement}/{self.epoch}/{self.version}/{self.table}/{self.file}.parquet"

    def query(self, secret: Secret) -> str:
        """Return the query. Its names make a delta kernel take the address for a signed one, to be fetched as it is."""
        return f"X-Amz-Expires={self.expires_s}&X-Amz-Signature={self.signature(secret)}"

    def signature(self, secret: Secret) -> str:
        """Return the code over the path, thereby over the recipient and the agreement's epoch, and over the expiry."""
        return secret.code("file", self.path(), self.expires_s)
