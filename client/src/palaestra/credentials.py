"""Credentials with which Delta Sharing clients (pandas, Polars, Spark) load what other vendors share:
`client.sharing.credentials`.

```
made = client.sharing.credentials.create([agreement])
write(made["profile"], Path("aurora.share"))
```
"""

import json
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from palaestra.web import Web, quoted

_ROOT = "/sharing/v1/credentials"


class Credentials:
    """Makes, changes and ends credentials, for the vendor who gets data. Raises PalaestraError as every method.

    The secret stands in the `profile` of the answer, once: the venue keeps its hash alone.
    """

    def __init__(self, web: Web) -> None:
        self._web = web

    def create(
        self,
        agreements: Sequence[str],
        *,
        purpose: str = "training",
        shares: Mapping[str, str] | None = None,
        lifetime_s: int | None = None,
    ) -> dict[str, Any]:
        """Make a credential for agreements, by their digests.

        Args:
            shares: Names of shares by agreement; else a share is called as its provider.
            lifetime_s: 60 s to 366 days; 30 days if not said, and never longer than the agreements.
        """
        asked: dict[str, Any] = {"agreements": list(agreements), "purpose": purpose, "shares": dict(shares or {})}
        if lifetime_s is not None:
            asked["lifetime_s"] = lifetime_s
        return self._web.call("POST", _ROOT, asked)

    def list(self) -> list[dict[str, Any]]:
        """Return the vendor's credentials that have not ended, newest first; without secrets."""
        return list(self._web.call("GET", _ROOT)["credentials"])

    def rotate(self, credential: str, *, overlap_s: int = 0) -> dict[str, Any]:
        """Give a credential another secret and another id; the old one ends after `overlap_s` (a day at most)."""
        return self._web.call("POST", f"{_ROOT}/{quoted(credential)}:rotate", {"overlap_s": overlap_s})

    def revoke(self, credential: str) -> dict[str, Any]:
        """End a credential: from its next bytes on nobody reads with it."""
        return self._web.call("POST", f"{_ROOT}/{quoted(credential)}:revoke")


def write(profile: Mapping[str, Any], path: Path, *, replace: bool = False) -> None:
    """Write a profile file that its owner alone can read. Raises FileExistsError unless it may be replaced, OSError."""
    made = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(profile, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        if replace:
            os.replace(made, path)
        else:
            os.link(made, path)
    finally:
        made.unlink(missing_ok=True)
