"""`palaestra share ...`: offer, negotiate, sign and revoke what vendors let each other have."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from palaestra.cli import share_ask, share_credits, share_fetch
from palaestra.cli.options import Json, Profile
from palaestra.cli.share_audit import audit
from palaestra.cli.share_keys import Key, day, keys, path_of
from palaestra.cli.share_review import reviews
from palaestra.cli.share_tokens import tokens

if TYPE_CHECKING:
    from palaestra.signing import Signer

share = typer.Typer(
    help="Let other vendors have some of what you recorded, on signed terms.",
    rich_markup_mode=None,
    no_args_is_help=True,
)

_Name = Annotated[str, typer.Argument(metavar="NEGOTIATION", help="Its name, or the first digits of it.")]
_Agreement = Annotated[str, typer.Argument(metavar="AGREEMENT", help="Its digest, or the first digits of it.")]
_Columns = Annotated[
    list[str] | None, typer.Option("--column", metavar="NAME", help="Such as observation.state. Repeatable.")
]
_Channels = Annotated[
    list[str] | None, typer.Option("--channel", help="delta-share, export, aggregate, compute. Repeatable.")
]
_Purposes = Annotated[
    list[str] | None, typer.Option("--purpose", help="training, evaluation, research, safety. Repeatable.")
]
_Transforms = Annotated[
    list[str] | None,
    typer.Option("--transform", metavar="NAME[:KEY=VALUE,...]", help="Such as coarsen-time:step_ms=10. Repeatable."),
]
_Duties = Annotated[
    list[str] | None,
    typer.Option("--duty", help="delete-at-end, report-use, no-redistribution, attribute. Repeatable."),
]
_From = Annotated[str, typer.Option("--from", help="When it begins, such as 2026-12-01T00:00 or +7d.")]
_Until = Annotated[str, typer.Option("--until", help="When it ends, such as 2027-01-31T00:00 or +90d.")]
_Embargo = Annotated[str, typer.Option("--embargo", help="Before this nothing leaves, such as +30d.")]
_Versions = Annotated[str, typer.Option("--versions", help="Such as 3, 2-5, or 2- for all from 2 on.")]
_Epsilon = Annotated[float, typer.Option("--epsilon", min=0, help="Privacy budget for the channel aggregate.")]
_Price = Annotated[float, typer.Option("--price", min=0, help="Credits for each version, paid once.")]
_Note = Annotated[str, typer.Option("--note", help="Plain words for people; part of what is signed.")]
_Terms = Annotated[
    str, typer.Option("--terms", metavar="FILE", help="Terms as JSON, instead of all the other options.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    share.add_typer(keys, name="keys")
    share_ask.register(share)
    share_fetch.register(share)
    share_credits.register(share)
    share.add_typer(tokens, name="token")
    share.add_typer(reviews, name="review")
    share.add_typer(audit, name="audit")
    app.add_typer(share, name="share")


@share.command()
def offer(
    data_set: Annotated[
        str, typer.Argument(metavar="DATASET", help="Yours; or another's, vendors/V/datasets/D, to ask for it.")
    ] = "",
    to: Annotated[str, typer.Option("--to", metavar="VENDOR", help="Who is to have it; you, if it is another's.")] = "",
    column: _Columns = None,
    channel: _Channels = None,
    purpose: _Purposes = None,
    transform: _Transforms = None,
    duty: _Duties = None,
    begin: _From = "now",
    until: _Until = "+90d",
    embargo: _Embargo = "",
    versions: _Versions = "1-",
    epsilon: _Epsilon = 0.0,
    price: _Price = 0.0,
    note: _Note = "",
    terms_file: _Terms = "",
    key: Key = "",
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Propose terms: your data to another vendor, or, to ask for another's, what you would like to have."""
    from palaestra.cli.session import connect

    given = (column, channel, purpose, transform, duty, begin, until, embargo, versions, epsilon, price, note)
    wanted = _terms(terms_file, data_set, to, *given)
    signer = _signer(key, profile)
    with connect(profile) as client:
        _tell(client.sharing.offer(wanted, signer), client.identity().vendor, as_json=as_json)


@share.command()
def counter(
    name: _Name,
    column: _Columns = None,
    channel: _Channels = None,
    purpose: _Purposes = None,
    transform: _Transforms = None,
    duty: _Duties = None,
    until: _Until = "",
    embargo: _Embargo = "",
    price: Annotated[float | None, typer.Option("--price", min=0, help="Credits for each version.")] = None,
    note: _Note = "",
    terms_file: _Terms = "",
    key: Key = "",
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Propose other terms instead: those that lie there, but for what you say."""
    from palaestra.cli.session import connect

    signer = _signer(key, profile)
    with connect(profile) as client:
        wanted = _read(terms_file) if terms_file else dict(client.sharing.negotiation(name)["terms"])
        lists = {"columns": column, "channels": channel, "purposes": purpose, "duties": duty}
        wanted |= {field: value for field, value in lists.items() if value}
        if transform:
            wanted["transforms"] = _transforms(transform)
        if until:
            wanted["valid_until_s"] = _second("--until", until)
        if embargo:
            wanted["embargo_until_s"] = _second("--embargo", embargo)
        if price is not None:
            # Terms without a price do not name one.
            wanted.pop("price_microcredits", None)
            wanted |= {"price_microcredits": round(price * 1e6)} if price else {}
        if note:
            wanted["note"] = note
        _tell(client.sharing.counter(name, wanted, signer), client.identity().vendor, as_json=as_json)


@share.command()
def accept(
    name: _Name,
    expected: Annotated[
        str, typer.Option("--terms-digest", metavar="DIGEST", help="Only if the terms that lie there have it.")
    ] = "",
    key: Key = "",
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Accept the terms that lie before you. Look at them first: palaestra share show NEGOTIATION."""
    from palaestra.cli.session import connect

    signer = _signer(key, profile)
    with connect(profile) as client:
        found = client.sharing.accept(name, signer, expected=expected)
        _tell(found, client.identity().vendor, as_json=as_json)


@share.command()
def sign(name: _Name, key: Key = "", profile: Profile = None, as_json: Json = False) -> None:
    """Sign the terms that were accepted; when both sides have, it is an agreement."""
    from palaestra.cli.session import connect

    signer = _signer(key, profile)
    with connect(profile) as client:
        _tell(client.sharing.sign(name, signer), client.identity().vendor, as_json=as_json)


@share.command()
def decline(name: _Name, key: Key = "", profile: Profile = None, as_json: Json = False) -> None:
    """Refuse the terms that lie before you, and end the negotiation."""
    from palaestra.cli.session import connect

    signer = _signer(key, profile)
    with connect(profile) as client:
        _tell(client.sharing.decline(name, signer), client.identity().vendor, as_json=as_json)


@share.command()
def terminate(name: _Name, key: Key = "", profile: Profile = None, as_json: Json = False) -> None:
    """End a negotiation that has not come to an agreement."""
    from palaestra.cli.session import connect

    signer = _signer(key, profile)
    with connect(profile) as client:
        _tell(client.sharing.terminate(name, signer), client.identity().vendor, as_json=as_json)


@share.command("negotiations")
def list_negotiations(
    show_all: Annotated[bool, typer.Option("--all", help="Also those that have ended.")] = False,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """List what is being negotiated, and whose turn it is."""
    from palaestra.cli.output import print_json, print_table
    from palaestra.cli.session import connect

    with connect(profile) as client:
        open_states = ("offered", "accepted", "signed")
        found = [one for one in client.sharing.negotiations() if show_all or one["state"] in open_states]
        own = client.identity().vendor
    if as_json:
        print_json({"negotiations": found})
        return
    rows = (
        (
            *(one["negotiation"][:12], one["state"], _turn(one, own), one["terms"]["data_set"]),
            *(one["terms"]["consumer"], ", ".join(one["terms"]["columns"]), day(one["terms"]["valid_until_s"])),
        )
        for one in found
    )
    heads = ("NEGOTIATION", "STATE", "NEXT", "DATASET", "FOR", "COLUMNS", "UNTIL")
    print_table(heads, rows, empty="no negotiations")


@share.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A negotiation or an agreement, or its first digits.")],
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Show a negotiation with its steps, or an agreement with its signatures, which are checked here."""
    from palaestra.cli.output import print_facts, print_json
    from palaestra.cli.session import connect
    from palaestra.errors import PalaestraError

    with connect(profile) as client:
        own = client.identity().vendor
        try:
            found = client.sharing.negotiation(name)
        except PalaestraError as error:
            if error.reason != "NOT_FOUND":
                raise
            found = client.sharing.agreement(name)
    if as_json:
        print_json(found)
    elif "steps" in found:
        _tell(found, own, as_json=False)
        steps = (f"{one['step']['sequence']}. {one['step']['kind']} by {one['step']['by']}" for one in found["steps"])
        print_facts([("steps", "; ".join(steps))])
    else:
        _tell_agreement(found)


@share.command("agreements")
def list_agreements(
    show_all: Annotated[bool, typer.Option("--all", help="Also those that have ended.")] = False,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """List agreements that you are a side of."""
    from palaestra.cli.output import print_json, print_table
    from palaestra.cli.session import connect

    with connect(profile) as client:
        found = [one for one in client.sharing.agreements() if show_all or one["state"] in ("in force", "not yet")]
    if as_json:
        print_json({"agreements": found})
        return
    rows = (
        (
            *(one["agreement"][:12], one["state"], one["terms"]["data_set"], one["terms"]["consumer"]),
            *(", ".join(one["terms"]["channels"]), ", ".join(one["terms"]["columns"])),
            day(one["terms"]["valid_until_s"]),
        )
        for one in found
    )
    heads = ("AGREEMENT", "STATE", "DATASET", "FOR", "CHANNELS", "COLUMNS", "UNTIL")
    print_table(heads, rows, empty="no agreements")


@share.command()
def revoke(
    name: _Agreement,
    reason: Annotated[str, typer.Option(help="Why; the other side may read it.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """End an agreement for good. No byte of it leaves any more; what has left cannot be called back."""
    import sys

    from palaestra.cli.output import print_json, print_line
    from palaestra.cli.session import connect

    with connect(profile) as client:
        found = client.sharing.agreement(name)
        if not yes and sys.stdin.isatty():
            terms = found["terms"]
            typer.confirm(f"end {found['agreement'][:12]}, {terms['data_set']} for {terms['consumer']}?", abort=True)
        found = client.sharing.revoke(found["agreement"], reason)
    if as_json:
        print_json(found)
    else:
        print_line(f"{found['agreement'][:12]} is {found['state']}: nothing of it leaves from now on")


def _signer(key: str, profile: str | None) -> "Signer":
    from palaestra.signing import Signer

    return Signer.load(path_of(key, profile))


def _read(path: str) -> dict[str, Any]:
    import json

    try:
        found = json.loads(Path(path).read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise typer.BadParameter(f"--terms {path}: not JSON: {error}") from None
    if not isinstance(found, dict):
        raise typer.BadParameter(f"--terms {path}: must be a JSON object")
    return found


def _terms(
    terms_file: str,
    data_set: str,
    to: str,
    column: list[str] | None,
    channel: list[str] | None,
    purpose: list[str] | None,
    transform: list[str] | None,
    duty: list[str] | None,
    begin: str,
    until: str,
    embargo: str,
    versions: str,
    epsilon: float,
    price: float,
    note: str,
) -> dict[str, Any]:
    """Return the terms that the options say."""
    from palaestra.sharing import terms

    if terms_file:
        return _read(terms_file)
    if not data_set or not column:
        raise typer.BadParameter("name the data set and at least one --column; or give --terms FILE")
    if not to and "/" not in data_set:
        raise typer.BadParameter("--to says who is to have it")
    first, dash, last = versions.partition("-")
    if not first.isdigit() or (last and not last.isdigit()):
        raise typer.BadParameter(f"--versions {versions!r} is not such as 3, 2-5 or 2-")
    fields: dict[str, Any] = {"duties": duty} if duty else {}
    return terms(
        data_set,
        to,
        column,
        purposes=purpose or ("training",),
        channels=channel or ("delta-share",),
        valid_from_s=_second("--from", begin),
        valid_until_s=_second("--until", until),
        first_version=int(first),
        last_version=int(last or 0) if dash else int(first),
        transforms=_transforms(transform or []),
        embargo_until_s=_second("--embargo", embargo) if embargo else 0,
        privacy_millionths=round(epsilon * 1e6),
        price_microcredits=round(price * 1e6),
        note=note,
        **fields,
    )


def _transforms(given: list[str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for text in given:
        name, _, rest = text.partition(":")
        found[name] = {}
        for pair in filter(None, rest.split(",")):
            key, equals, value = pair.partition("=")
            if not equals:
                raise typer.BadParameter(f"--transform {text!r} is not NAME:KEY=VALUE")
            found[name][key] = value
    return found


def _second(option: str, text: str) -> int:
    from datetime import UTC, datetime

    from palaestra.cli.times import moment

    return int(moment(option, text, datetime.now(UTC)).timestamp())


def _turn(found: dict[str, Any], own: str) -> str:
    """Return who does what next, as a person would say it."""
    if found["state"] == "accepted":
        return "both sign"
    if not found["turn"]:
        return ""
    does = "signs" if found["state"] == "signed" else "answers"
    return f"you: {does.removesuffix('s')}" if found["turn"] == own else f"{found['turn']} {does}"


_COMMANDS = {"offered": "accept", "accepted": "sign", "signed": "sign"}


def _tell(found: dict[str, Any], own: str, *, as_json: bool) -> None:
    """Print how a negotiation stands, its terms, and what comes next."""
    from palaestra.cli.output import print_facts, print_json, print_line

    if as_json:
        print_json(found)
        return
    name = found["negotiation"]
    print_facts(
        [("negotiation", name), ("state", found["state"]), ("next", _turn(found, own)), *_facts(found["terms"])]
    )
    command = _COMMANDS.get(found["state"], "")
    mine = found["turn"] == own or (found["state"] == "accepted" and own not in found["signed"])
    if command and mine:
        print_line(f"`palaestra share {command} {name[:12]}` is next")
    elif found["state"] == "agreed":
        print_line(f"agreement {found['digest']}")


def _tell_agreement(found: dict[str, Any]) -> None:
    from palaestra.cli.output import print_facts

    signed = "; ".join(f"{side} with {one['public_key'][:16]}" for side, one in found["signatures"].items())
    ended = f"{found['revoked_by']} {day(found['revoked_s'])} {found['reason']}" if found["revoked_s"] else ""
    print_facts(
        [
            *(("agreement", found["agreement"]), ("state", found["state"]), ("agreed", day(found["agreed_s"]))),
            *(("revoked by", ended.strip()), *_facts(found["terms"]), ("signed by", f"{signed}: checked")),
        ]
    )


def _facts(terms: dict[str, Any]) -> list[tuple[str, str]]:
    last = terms["last_version"]
    transforms = (
        name + (f" ({', '.join(f'{key} {value}' for key, value in values.items())})" if values else "")
        for name, values in terms["transforms"].items()
    )
    return [
        *(("data set", terms["data_set"]), ("for", terms["consumer"])),
        ("versions", f"{terms['first_version']} to {last}" if last else f"from {terms['first_version']} on"),
        ("columns", ", ".join(terms["columns"])),
        ("transforms", "; ".join(transforms)),
        ("channels", ", ".join(terms["channels"])),
        ("purposes", ", ".join(terms["purposes"])),
        ("duties", ", ".join(terms["duties"])),
        ("term", f"{day(terms['valid_from_s'])} until {day(terms['valid_until_s'])}"),
        ("embargo", day(terms["embargo_until_s"]) if terms["embargo_until_s"] else ""),
        ("epsilon", f"{terms['privacy_millionths'] / 1e6:g}" if terms["privacy_millionths"] else ""),
        ("price", f"{terms['price_microcredits'] / 1e6:g} credits" if terms.get("price_microcredits") else ""),
        ("note", terms["note"]),
    ]
