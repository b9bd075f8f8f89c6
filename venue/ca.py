"""`palaestra-venue ca init | server | issue | list | revoke`: certificates for a venue that is open to its network."""

import argparse
import json
from pathlib import Path
from typing import Any

from venue.profile import Profile

SERVER_DAYS = 90.0
CLIENT_DAYS = 30.0


def add_parser(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Add the commands. commands: as of `add_subparsers`; shared: the options --venue and --data."""
    ca = commands.add_parser("ca", help="certificates for a venue that is open to its network")
    steps = ca.add_subparsers(dest="step", required=True)
    steps.add_parser("init", parents=[shared], help="make the venue's authority, once")
    server = steps.add_parser("server", parents=[shared], help="make or renew the certificate that the venue shows")
    server.add_argument("names", nargs="*", metavar="NAME", help="host names and IP addresses (default: as before)")
    server.add_argument("--days", type=_days, default=SERVER_DAYS, help=f"how long it is good ({SERVER_DAYS:g})")
    issue = steps.add_parser("issue", parents=[shared], help="make a certificate for somebody, with a login file")
    issue.add_argument("--vendor", default="", help="acts for this vendor; without: for the house")
    issue.add_argument("--role", help="what it acts as (engineer for a vendor; there is no default for the house)")
    issue.add_argument("--id", default="", help="of a host or a runner: which one it is (a runner: runner)")
    issue.add_argument(
        "--name", action="append", default=[], help="for a host: its name or IP address for the runner (repeatable)"
    )
    issue.add_argument("--address", default="", help="of the scheduler, as others reach it (by default as it is known)")
    issue.add_argument("--days", type=_days, default=CLIENT_DAYS, help=f"how long it is good ({CLIENT_DAYS:g})")
    issue.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="folder for the files (this one)")
    steps.add_parser("list", parents=[shared], help="what was signed")
    revoke = steps.add_parser("revoke", parents=[shared], help="take a client's certificate back")
    revoke.add_argument("certificate", help="its serial number, or its file")


def run(arguments: argparse.Namespace, profile: Profile, data: Path) -> int:
    """Carry out one command. Raises AuthorityError, OSError."""
    # Here and not at the top: a venue that stays on its machine needs no such library.
    from venue.authority import Authority, AuthorityError, client_uri, write_private, write_public

    folder = data / profile.tls.folder
    if arguments.step == "init":
        # Whoever comes first makes the venue's folder, and for its owner alone, as the venue itself does.
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        Authority.create(folder, profile.venue)
        print(f"made {folder / 'ca.crt'} and its key, which stays there\nnext: palaestra-venue ca server NAME")
        return 0
    authority = Authority(folder)
    if arguments.step == "server":
        names = arguments.names or authority.server_names()
        authority.sign_server(names, days=arguments.days)
        print(f"made {folder / 'server.crt'} for {', '.join(names)}")
        if not profile.tls.listen:
            print('next: [tls] listen = "ADDRESS:PORT" in the venue file')
    elif arguments.step == "list":
        revoked = authority.revoked()
        for line in authority.issued():
            print(f"{line.serial:<40}  {line.until}  {line.name}{'  revoked' if line.serial in revoked else ''}")
    elif arguments.step == "revoke":
        found = authority.revoke(arguments.certificate)
        print(f"revoked {found.serial}, {found.name}")
    else:
        vendor, role = arguments.vendor, arguments.role or ("engineer" if arguments.vendor else "")
        if vendor and vendor not in profile.vendors:
            raise AuthorityError(f"{vendor!r} is no vendor of {profile.path}; there are {', '.join(profile.vendors)}")
        process = arguments.id or ("runner" if role == "runner" else "")
        uri = client_uri(profile.venue, role, vendor, process)
        if role == "host" and process not in (known := [host.id for host in profile.hosts]):
            raise AuthorityError(f"{process!r} is no host of {profile.path}; there are {', '.join(known) or 'none'}")
        if arguments.name and role != "host":
            raise AuthorityError("--name is for --role host: with it others could answer in a unit host's place")
        address = arguments.address or _address(profile, authority.server_names())
        if not address:
            raise AuthorityError("--address is missing: nobody knows yet how others reach the scheduler")
        certificate, key = authority.sign_client(uri, days=arguments.days, names=arguments.name)
        stem = f"{vendor}-{role}" if vendor else role
        arguments.out.mkdir(parents=True, exist_ok=True)
        write_public(arguments.out / "ca.crt", authority.root)
        write_public(arguments.out / f"{stem}.crt", certificate)
        write_private(arguments.out / f"{stem}.key", key)
        login = {
            "address": address,
            "api_url": profile.tls.api_url(authority.server_names()),
            "sharing_url": profile.tls.sharing_url(authority.server_names()) if profile.sharing else "",
            "role": role,
            "vendor": f"vendors/{vendor}" if vendor else "",
            "tls_root": authority.root.decode(),
            "tls_certificate": certificate.decode(),
            "tls_key": key.decode(),
        }
        # JSON strings are TOML strings too.
        text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in login.items() if value)
        write_private(arguments.out / f"{stem}.toml", text.encode())
        print(f"made {arguments.out / stem}.toml for `palaestra login`, and the same as .crt, .key and ca.crt")
    return 0


def _address(profile: Profile, names: list[str]) -> str:
    """Return how others reach the scheduler, "" if nobody knows."""
    return profile.tls.reached(profile.tls.listen, names)


def _days(text: str) -> float:
    value = float(text)
    if not 0.0 < value <= 3650.0:
        raise argparse.ArgumentTypeError(f"{text} is not a number of days, above 0 and at most 3650")
    return value
