"""The command line, `palaestra`: one file for each noun.

Commands import gRPC, protobuf and rich when they run, so that `palaestra --help` answers at once; nothing
here or in the files imported below may import them at the top.
"""

import os
import sys
from collections.abc import Sequence

import typer

from palaestra.cli import (
    audit,
    check,
    closures,
    data,
    episodes,
    events,
    jobs,
    keys,
    login,
    operations,
    replay,
    reservations,
    robots,
    scenarios,
    share,
    slot,
    submit,
    units,
    venue,
    venues,
)

app = typer.Typer(
    name="palaestra",
    help="Submit training jobs to a venue, follow them, and fetch what came out.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
login.register(app)
submit.register(app)
jobs.register(app)
venue.register(app)
units.register(app)
reservations.register(app)
closures.register(app)
operations.register(app)
episodes.register(app)
data.register(app)
replay.register(app)
robots.register(app)
scenarios.register(app)
check.register(app)
venues.register(app)
slot.register(app)
events.register(app)
keys.register(app)
audit.register(app)
share.register(app)

# Click's base of all "you typed it wrong" errors, which Typer has no public name for.
_USAGE_ERROR: type[Exception] = typer.BadParameter.__bases__[0]


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Print it and exit."),
    ca: str = typer.Option("", metavar="FILE", help="Certificates to trust (PEM), as PALAESTRA_CA."),
    cert: str = typer.Option("", metavar="FILE", help="Client certificate (PEM), as PALAESTRA_CERT."),
    key: str = typer.Option("", metavar="FILE", help="Its private key (PEM), as PALAESTRA_KEY."),
) -> None:
    for name, path in (("CA", ca), ("CERT", cert), ("KEY", key)):
        if path:
            os.environ[f"PALAESTRA_{name}"] = path
    if version:
        from importlib.metadata import version as installed

        typer.echo(installed("palaestra"))
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 done, 1 refused or failed, 2 typed wrong, 130 interrupted."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(run(words))


def run(words: Sequence[str]) -> int:
    """Run one command and return the exit code. What went wrong is on stderr."""
    try:
        code = app(list(words), prog_name="palaestra", standalone_mode=False)
    except _USAGE_ERROR as error:
        return _typed_wrong(error, as_json="--json" in words)
    except (typer.Abort, KeyboardInterrupt):
        return 130
    except OSError as error:
        return _failed(error, as_json="--json" in words)
    except Exception as error:
        # The class itself is out of reach here: importing it would import gRPC.
        if type(error).__module__ != "palaestra.errors":
            raise
        return _failed(error, as_json="--json" in words)
    return code if isinstance(code, int) else 0


def _failed(error: Exception, *, as_json: bool) -> int:
    from palaestra.cli.failure import report

    report(error, as_json=as_json)
    return 1


def _typed_wrong(error: Exception, *, as_json: bool) -> int:
    from palaestra.cli.failure import report_usage

    report_usage(error, as_json=as_json)
    return 2
