"""Login files: what somebody needs to talk to this venue, one file each, readable by their owner alone."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path


def write_logins(
    data: Path,
    vendors: Iterable[str],
    scheduler: str,
    api_url: str,
    *,
    folder: str = "logins",
    tls_root: str = "",
    sharing_url: str = "",
) -> None:
    """Write `<name>.toml` for the operator and every vendor; `palaestra login FILE` takes them.

    tls_root: PEM certificates to trust; empty for connections that are not encrypted.
    """
    into = data / folder
    into.mkdir(exist_ok=True, mode=0o700)
    common = {"address": scheduler, "api_url": api_url, "tls_root": tls_root, "sharing_url": sharing_url}
    _write(into / "operator.toml", data / "tokens" / "operator.token", common | {"role": "operator"})
    for vendor in vendors:
        own = {"role": "vendor", "vendor": f"vendors/{vendor}"}
        _write(into / f"{vendor}.toml", data / "tokens" / f"vendor-{vendor}.token", common | own)


def _write(path: Path, token: Path, common: Mapping[str, str]) -> None:
    values = {"token": token.read_text().strip(), **common}
    temporary = path.with_suffix(".tmp")
    file = os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    # JSON strings are TOML strings too.
    os.write(file, "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items() if value).encode())
    os.close(file)
    temporary.rename(path)
