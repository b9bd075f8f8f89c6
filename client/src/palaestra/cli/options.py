"""Options and arguments that many commands share."""

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Profile = Annotated[
    str | None, typer.Option("--profile", metavar="NAME", help="Login to use instead of the current one.")
]
JobName = Annotated[str, typer.Argument(metavar="JOB", help="Name of the job, or its last part.")]
UnitName = Annotated[str, typer.Argument(metavar="UNIT", help="Name of the unit, or its last part.")]
ArrayName = Annotated[str, typer.Argument(metavar="ARRAY", help="Name of the array, or its last part.")]
Reason = Annotated[str, typer.Option("--reason", metavar="WORDS", help="Why; every vendor may read it.")]
