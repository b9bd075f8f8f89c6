"""`palaestra share ask`, `share budget` and `share compute ...`: use of others' data without a byte of it."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from palaestra.cli.options import Json, Profile

_Agreement = Annotated[str, typer.Argument(metavar="AGREEMENT", help="Its digest, or the first digits of it.")]
_Purpose = Annotated[str, typer.Option("--purpose", help="training, evaluation, research or safety; else training.")]
_JobName = Annotated[str, typer.Argument(metavar="JOB", help="Name of the compute job.")]

compute = typer.Typer(help="Have approved algorithms visit others' data.", rich_markup_mode=None, no_args_is_help=True)


def register(share: typer.Typer) -> None:
    """Add the commands to `palaestra share`."""
    share.command("ask")(ask)
    share.command("budget")(budget)
    share.add_typer(compute, name="compute")


def ask(
    agreement: _Agreement,
    spec: Annotated[
        Path, typer.Argument(metavar="SPEC", help="The question, a JSON file.", exists=True, dir_okay=False)
    ],
    purpose: _Purpose = "",
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Ask a question about another's data: an answer with noise, for some of the privacy budget."""
    from palaestra.cli.output import print_json, print_line, print_table
    from palaestra.cli.session import connect

    question = _json(spec)
    with connect(profile) as client:
        found = client.sharing.ask(agreement, question, purpose=purpose)
    if as_json:
        print_json(found)
        return
    dimensions = sorted({name for group in found["groups"] for name in group["by"]})
    rows = (
        (*(group["by"][name] for name in dimensions), *(_shown(value) for value in group["values"]))
        for group in found["groups"]
    )
    headings = [*(name.upper() for name in dimensions), *found["measures"]]
    print_table(headings, rows, empty="no group is large enough to be shown")
    left = found["left_millionths"] / 1e6
    print_line(
        f"cost at most {found['epsilon_millionths'] / 1e6:g} of epsilon (asking again is free); {left:g} is left"
    )


def budget(
    agreement: Annotated[
        str, typer.Argument(metavar="[AGREEMENT]", help="One's own; without: all that was spent.")
    ] = "",
    purpose: _Purpose = "",
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Show what is left of a privacy budget, or what was spent by you and of your data sets."""
    from palaestra.cli.output import print_facts, print_json, print_table
    from palaestra.cli.session import connect

    with connect(profile) as client:
        left = client.sharing.budget(agreement, purpose=purpose) if agreement else {}
        spent = [] if agreement else client.sharing.spent()
    if as_json:
        print_json(left if agreement else {"spent": spent})
    elif agreement:
        print_facts([(name, f"{left[f'{name}_millionths'] / 1e6:g}") for name in ("budget", "spent", "left")])
    else:
        rows = (
            (one["data_set"], one["consumer"], f"{one['epsilon_millionths'] / 1e6:g}", str(one["questions"]))
            for one in spent
        )
        print_table(("DATA SET", "CONSUMER", "EPSILON", "QUESTIONS"), rows, empty="nothing was asked yet")


@compute.command()
def algorithms(
    agreement: Annotated[str, typer.Argument(metavar="[AGREEMENT]", help="Whose provider; without: your own.")] = "",
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """List the algorithms that may visit, and those that come with the venue."""
    from palaestra.cli.output import print_json, print_table
    from palaestra.cli.session import connect

    with connect(profile) as client:
        found = client.sharing.algorithms(agreement)
    if as_json:
        print_json(found)
        return
    allowed = {one["sha256"] for one in found["allowed"]}
    rows = [(one["name"], one["sha256"], f"allowed by {found['provider']}") for one in found["allowed"]]
    rows += [(one["name"], one["sha256"], "built in") for one in found["built_in"] if one["sha256"] not in allowed]
    print_table(("NAME", "ALGORITHM", "STATE"), rows, empty="none")


@compute.command()
def approve(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of a built-in one, or any with --file.")],
    file: Annotated[Path | None, typer.Option("--file", help="A Python file with train and losses.")] = None,
    outputs: Annotated[Path | None, typer.Option("--outputs", help="A JSON file: what may leave.")] = None,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Let an algorithm visit your data, under agreements of yours that have the channel compute."""
    from palaestra.cli.output import print_json, print_line
    from palaestra.cli.session import connect

    source = _text(file) if file else ""
    declared = _json(outputs) if outputs else None
    with connect(profile) as client:
        found = client.sharing.approve(name, source, declared)
    if as_json:
        print_json(found)
    else:
        print_line(f"{found['name']} may visit your data; it is {found['sha256']}")


@compute.command()
def withdraw(
    algorithm: Annotated[str, typer.Argument(metavar="ALGORITHM", help="Its hash, all of it.")], profile: Profile = None
) -> None:
    """Let an algorithm visit your data no more; its jobs end."""
    from palaestra.cli.output import print_line
    from palaestra.cli.session import connect

    with connect(profile) as client:
        client.sharing.withdraw(algorithm)
    print_line("it visits no more")


@compute.command()
def run(
    agreement: _Agreement,
    algorithm: Annotated[str, typer.Argument(metavar="ALGORITHM", help="Its hash, all of it.")],
    parameter: Annotated[list[str] | None, typer.Option("--parameter", "-p", metavar="KEY=VALUE")] = None,
    purpose: _Purpose = "",
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Have an allowed algorithm visit the data of an agreement."""
    from palaestra.cli.output import print_json, print_line
    from palaestra.cli.session import connect

    values: dict[str, str | int] = {}
    for text in parameter or ():
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"{text}: must be KEY=VALUE", param_hint="--parameter")
        values[key] = int(value) if value.lstrip("-").isdecimal() and len(value) < 16 else value
    with connect(profile) as client:
        found = client.sharing.compute(agreement, algorithm, values, purpose=purpose)
    if as_json:
        print_json(found)
    else:
        print_line(f"{found['id']} is {found['state']}; `palaestra share compute show {found['id']}` tells how it goes")


@compute.command()
def jobs(profile: Profile = None, as_json: Json = False) -> None:
    """List your compute jobs, and those that visited your data."""
    from palaestra.cli.output import print_json, print_table
    from palaestra.cli.session import connect

    with connect(profile) as client:
        found = client.sharing.visits()
    if as_json:
        print_json({"jobs": found})
        return
    rows = ((one["id"], one["consumer"], one["data_set"], one["state"], one["reason"]) for one in found)
    print_table(("JOB", "CONSUMER", "DATA SET", "STATE", "REASON"), rows, empty="no jobs yet")


@compute.command()
def show(job: _JobName, profile: Profile = None, as_json: Json = False) -> None:
    """Show a compute job, and what its result is made of."""
    from palaestra.cli.output import print_facts, print_json
    from palaestra.cli.session import connect

    with connect(profile) as client:
        found = client.sharing.visit(job)
    if as_json:
        print_json(found)
        return
    lineage = found["lineage"] or {}
    made = f"{lineage['episodes']} episodes, {lineage['held_out']} held out" if lineage else ""
    print_facts(
        [
            *(
                (name, str(found[name]))
                for name in ("id", "state", "reason", "consumer", "data_set", "agreement", "algorithm")
            ),
            ("made of", made),
            ("membership auc", f"{lineage['membership_auc']:g}" if lineage else ""),
            ("metrics", ", ".join(f"{name} {value:g}" for name, value in lineage.get("metrics", {}).items())),
        ]
    )


@compute.command()
def cancel(job: _JobName, profile: Profile = None) -> None:
    """End a compute job of yours."""
    from palaestra.cli.output import print_line
    from palaestra.cli.session import connect

    with connect(profile) as client:
        print_line(f"it is {client.sharing.cancel_visit(job)['state']}")


@compute.command()
def result(
    job: _JobName,
    out: Annotated[Path, typer.Option("--out", "-o", help="Where to write it; must not exist.")],
    purpose: _Purpose = "",
    profile: Profile = None,
) -> None:
    """Write a released job's arrays to a file, a NumPy archive."""
    from palaestra.cli.output import print_line
    from palaestra.cli.session import connect

    with connect(profile) as client:
        content = client.sharing.result(job, purpose=purpose)
    try:
        with out.open("xb") as target:
            target.write(content)
    except OSError as error:
        raise typer.BadParameter(f"{out}: {error.strerror}", param_hint="--out") from None
    print_line(f"{out}: {len(content)} bytes; load it with numpy.load(..., allow_pickle=False)")


def _shown(value: dict[str, Any]) -> str:
    found, within = value["value"], value.get("within")
    if found is None:
        return "too few"
    text = ", ".join(f"{one:g}" for one in found) if isinstance(found, list) else f"{found:.6g}"
    return f"{text} ± {within:.3g}" if within is not None else text


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{path}: {error}") from None


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(_text(path))
    except ValueError as error:
        raise typer.BadParameter(f"{path}: no JSON: {error}") from None
    if not isinstance(found, dict):
        raise typer.BadParameter(f"{path}: must be a JSON object")
    return found
