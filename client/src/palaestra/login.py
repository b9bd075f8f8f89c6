"""Logins: where a venue is and the token that opens it, one small TOML file for each profile.

A venue writes such a file for each vendor and operator; `palaestra login FILE` keeps a copy where the SDK and
the command line look for it: `$XDG_CONFIG_HOME/palaestra/logins/PROFILE.toml`, readable by its owner alone.
"""

import json
import os
import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from palaestra.errors import PalaestraError

if TYPE_CHECKING:
    from palaestra.tls import Tls

_PROFILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Login:
    """What a login file holds.

    Attributes:
        address: Host and port of the scheduler, such as "127.0.0.1:7401".
        token: Bearer token. Secret.
        api_url: Base of the venue's HTTP interface, such as "http://127.0.0.1:7480".
        sharing_url: Base of what vendors share, such as "http://127.0.0.1:7490"; empty where the venue has none.
        vendor: "vendors/{vendor}", for people; the server goes by the token alone.
        role: Such as "vendor" or "operator", for people.
        tls_root: PEM certificates to trust. Empty: the connection is not encrypted, fit for one machine only.
        tls_certificate: PEM certificate that is shown, with its chain. It may stand in for the token.
        tls_key: Its private key. Secret.
    """

    address: str
    token: str = ""
    api_url: str = ""
    vendor: str = ""
    role: str = ""
    tls_root: str = ""
    tls_certificate: str = ""
    tls_key: str = ""
    sharing_url: str = ""

    def tls(self) -> "Tls":
        """Return certificates and key as the client takes them."""
        # Loads gRPC, which a command line's --help does without.
        from palaestra.tls import Tls

        return Tls(*(text.encode() or None for text in (self.tls_root, self.tls_certificate, self.tls_key)))

    def __repr__(self) -> str:
        return f"Login(address={self.address!r}, vendor={self.vendor!r}, role={self.role!r})"


def parse(text: str, source: str) -> Login:
    """Return the login in TOML text. `source` is named in errors.

    Unknown keys are left alone: a newer venue may write more.

    Raises:
        PalaestraError: INVALID_FIELD if it is not TOML, lacks the address, or token and certificate.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _invalid(f"{source}: not TOML: {error}") from None
    known = {field.name: values[field.name] for field in fields(Login) if field.name in values}
    for name, value in known.items():
        if not isinstance(value, str):
            raise _invalid(f"{source}: {name} must be text, not {value!r}")
    if not known.get("address"):
        raise _invalid(f"{source}: address is missing")
    if not (known.get("token") or known.get("tls_certificate")):
        raise _invalid(f"{source}: token is missing, and so is tls_certificate")
    return Login(**known)


def text_of(login: Login) -> str:
    """Return the login as TOML text, what `parse` reads."""
    # JSON's strings are TOML's basic strings too, as long as all beyond ASCII is escaped.
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in asdict(login).items() if value)


def find(environ: Mapping[str, str], profile: str | None = None) -> Login:
    """Return the login of a profile; or, if none is named, of the environment and the current profile.

    PALAESTRA_ADDRESS, PALAESTRA_TOKEN, PALAESTRA_API_URL, PALAESTRA_SHARING_URL, and PALAESTRA_CA, PALAESTRA_CERT,
    PALAESTRA_KEY, which name PEM files, go over the current profile's file; an address with a token or a certificate
    needs no file. A profile that is named counts alone: who names one means it.

    Raises:
        PalaestraError: BAD_TOKEN if there is no such login, INVALID_FIELD if it is broken or a PEM file cannot be read.
    """
    if profile is not None:
        return _read(environ, profile)
    given = {
        field: _text_of(environ, variable)
        for field, variable in (("tls_root", "CA"), ("tls_certificate", "CERT"), ("tls_key", "KEY"))
    }
    for field in ("address", "token", "api_url", "sharing_url"):
        given[field] = environ.get(f"PALAESTRA_{field.upper()}", "")
    named = {field: value for field, value in given.items() if value}
    shown = named.keys() & {"token", "tls_certificate"}
    if "address" in named and shown:
        return Login(**named)
    login = _read(environ, current(environ))
    if shown:
        # Whose it is, the file cannot know. A token goes over the file's certificate, where the venue asks for one; but
        # a certificate that is named is meant instead of the file's token.
        login = replace(login, token="", vendor="", role="")
    return replace(login, **named)


def save(environ: Mapping[str, str], profile: str, login: Login) -> Path:
    """Keep a login (file mode 0600, folder 0700) and make its profile the current one. Returns the file."""
    path = path_of(environ, profile)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    _write_private(path, text_of(login))
    _write_private(_current_path(environ), f"{profile}\n")
    return path


def current(environ: Mapping[str, str]) -> str:
    """Return the profile that was logged in last, or "default"."""
    try:
        return _current_path(environ).read_text("utf-8").strip() or "default"
    except FileNotFoundError:
        return "default"


def path_of(environ: Mapping[str, str], profile: str) -> Path:
    """Return where a profile's login is kept.

    Raises:
        PalaestraError: INVALID_FIELD if the name is not fit for a file.
    """
    if not _PROFILE.fullmatch(profile):
        raise _invalid(f"profile {profile!r} does not match {_PROFILE.pattern}")
    return _folder(environ) / "logins" / f"{profile}.toml"


def is_exposed(path: Path) -> bool:
    """Return whether others than the owner may read the file."""
    return bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))


def _read(environ: Mapping[str, str], profile: str) -> Login:
    path = path_of(environ, profile)
    try:
        return parse(path.read_text("utf-8"), str(path))
    except FileNotFoundError:
        raise PalaestraError("BAD_TOKEN", f"no login for profile {profile!r}", metadata={"profile": profile}) from None


def _text_of(environ: Mapping[str, str], variable: str) -> str:
    path = environ.get(f"PALAESTRA_{variable}")
    if not path:
        return ""
    try:
        return Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _invalid(f"PALAESTRA_{variable}: {path} cannot be read: {error}") from None


def _folder(environ: Mapping[str, str]) -> Path:
    base = environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path(environ.get("HOME", "~")).expanduser() / ".config") / "palaestra"


def _current_path(environ: Mapping[str, str]) -> Path:
    return _folder(environ) / "profile"


def _write_private(path: Path, text: str) -> None:
    """Write a file that was never readable by others and is never half written."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)


def _invalid(message: str) -> PalaestraError:
    return PalaestraError("INVALID_FIELD", message)
