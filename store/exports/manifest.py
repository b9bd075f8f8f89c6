"""A folder that says what it holds, and who says so: the hash of every file, under one Ed25519 signature.

`manifest.json` is canonical JSON (RFC 8785; it has neither fractions nor numbers above 2**53, for which Python's own
sorted and spaceless form is the same), `manifest.sig` the signature over `DOMAIN` and its bytes (RFC 8032), in
hexadecimal: what the same key signs elsewhere is never taken for a manifest. Manifests of version 1 were signed without
`DOMAIN`, and are still checked so. The
public key is in the manifest, so that a folder can be checked by itself; who has the key from elsewhere, gives it, and
then nobody else's signature counts.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from store.errors import BrokenExport
from store.objects import hash_of

MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
VERSION = 2
DOMAIN = b"palaestra export manifest 2\0"
MAX_MANIFEST_BYTES, MAX_SIGNATURE_BYTES = 256 << 20, 4096
_NOT_LISTED = (MANIFEST, SIGNATURE)


@dataclass(frozen=True)
class Checked:
    """What a folder that is whole says of itself."""

    files: int
    size_bytes: int
    public_key: str
    about: Mapping[str, Any]


def new_key(path: Path) -> str:
    """Make a private key in a new file (0600, PEM), and return the public one in hexadecimal.

    Raises FileExistsError.
    """
    key = Ed25519PrivateKey.generate()
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
    return _public_of(key)


def load_key(path: Path) -> Ed25519PrivateKey:
    """Return the private key of a file. Raises BrokenExport for any other content."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise BrokenExport(f"{path.name}: no private key: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise BrokenExport(f"{path.name}: no Ed25519 key")
    return key


def sign_folder(folder: Path, key: Ed25519PrivateKey, about: Mapping[str, Any]) -> None:
    """Write manifest and signature into a folder that is otherwise complete. `about`: texts and whole numbers."""
    files = [
        {"path": name, "sha256": digest, "size_bytes": size} for name, (digest, size) in sorted(_found(folder).items())
    ]
    said = {"version": VERSION, "algorithm": "Ed25519", "public_key": _public_of(key), "about": about, "files": files}
    text = canonical_json(said)
    (folder / MANIFEST).write_bytes(text)
    (folder / SIGNATURE).write_text(key.sign(DOMAIN + text).hex() + "\n")


def check_folder(folder: Path, *, public_key: str = "") -> Checked:
    """Return what a signed folder holds, if every file of it is as it was signed, and there are no others.

    Args:
        public_key: In hexadecimal, from a source that is trusted; empty to believe the folder's own.

    Raises:
        BrokenExport: Names the first of: the signature, another's key, missing, altered and additional files, links.
    """
    try:
        text = _read(folder / MANIFEST, MAX_MANIFEST_BYTES)
        signature = bytes.fromhex(_read(folder / SIGNATURE, MAX_SIGNATURE_BYTES).decode("ascii").strip())
        said = json.loads(text)
        signer, version = said["public_key"], said["version"]
        if type(version) is not int or version not in (1, VERSION):
            raise BrokenExport(f"{MANIFEST}: version {version!r}; 1 and {VERSION} are known")
        signed = text if version == 1 else DOMAIN + text
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(signer)).verify(signature, signed)
        listed = {row["path"]: (row["sha256"], row["size_bytes"]) for row in said["files"]}
        about = dict(said["about"])
    except FileNotFoundError as error:
        raise BrokenExport(f"{Path(error.filename).name}: not there: the folder is not signed") from error
    except InvalidSignature:
        raise BrokenExport(f"{SIGNATURE}: not the signature of {MANIFEST}") from None
    except (ValueError, KeyError, TypeError, RecursionError, UnicodeDecodeError) as error:
        raise BrokenExport(f"{MANIFEST}: {str(error)[:200]}") from error
    if public_key and public_key.strip().lower() != signer:
        raise BrokenExport(f"{MANIFEST}: signed by {signer}, not by {public_key.strip().lower()}")
    found = _found(folder)
    if missing := sorted(listed.keys() - found.keys()):
        raise BrokenExport(f"{missing[0]}: not there")
    if more := sorted(found.keys() - listed.keys()):
        raise BrokenExport(f"{more[0]}: not in the manifest")
    for name in sorted(listed):
        if found[name] != listed[name]:
            raise BrokenExport(f"{name}: has the hash {found[name][0]} instead of {listed[name][0]}")
    return Checked(len(found), sum(size for _, size in found.values()), signer, about)


def _read(path: Path, most: int) -> bytes:
    """Return a plain file's bytes; a link leads elsewhere, and a pipe would make its reader wait."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise BrokenExport(f"{path.name}: no plain file")
    if path.stat().st_size > most:
        raise BrokenExport(f"{path.name}: more than {most} bytes")
    return path.read_bytes()


def canonical_json(value: Any) -> bytes:
    """Return canonical JSON of texts, whole numbers, lists and tables. Raises ValueError for a fraction."""
    _no_fractions(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _no_fractions(value: Any) -> None:
    if isinstance(value, float) or (type(value) is int and abs(value) > 2**53):
        raise ValueError(f"{value!r}: whole numbers up to 2**53")
    if isinstance(value, Mapping):
        for part in value.values():
            _no_fractions(part)
    elif isinstance(value, list | tuple):
        for part in value:
            _no_fractions(part)


def _found(folder: Path) -> dict[str, tuple[str, int]]:
    """Return (hash, size) of every file below a folder. Raises BrokenExport for a link or a device."""
    found = {}
    for place, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(place) / name
            relative = path.relative_to(folder).as_posix()
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise BrokenExport(f"{relative}: neither a file nor a folder")
            if name in names and relative not in _NOT_LISTED:
                with open(path, "rb") as file:
                    found[relative] = hash_of(file), file.tell()
    return found


def _public_of(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw).hex()
