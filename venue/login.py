"""Login files: what somebody needs to talk to this venue, one file each, readable by their owner alone."""

import json
import os
from collections.abc import Iterable
from pathlib import Path


def write_logins(data: Path, vendors: Iterable[str], scheduler: str, api_url: str) -> None:
    """Write `logins/<name>.toml` for the operator and every vendor; `palaestra login FILE` takes them."""
    folder = data / "logins"
    folder.mkdir(exist_ok=True, mode=0o700)
    _write(folder / "operator.toml", data / "tokens" / "operator.token", scheduler, api_url, "operator", "")
    for vendor in vendors:
        token = data / "tokens" / f"vendor-{vendor}.token"
        _write(folder / f"{vendor}.toml", token, scheduler, api_url, "vendor", f"vendors/{vendor}")


def _write(path: Path, token: Path, scheduler: str, api_url: str, role: str, vendor: str) -> None:
    values = {
        "address": scheduler,
        "api_url": api_url,
        "token": token.read_text().strip(),
        "role": role,
        "vendor": vendor,
    }
    temporary = path.with_suffix(".tmp")
    file = os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    # JSON strings are TOML strings too.
    os.write(file, "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items() if value).encode())
    os.close(file)
    temporary.rename(path)
