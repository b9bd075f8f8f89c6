"""How a command says that it failed: one sentence, the reason, and what to do, on stderr."""

import json
import sys
from typing import Any

from palaestra.cli.text import clean
from palaestra.errors import PalaestraError


def report(error: Exception, *, as_json: bool) -> None:
    """Print an error of a venue or of the machine."""
    if not isinstance(error, PalaestraError):
        error = PalaestraError("INVALID_FIELD", str(error))
    if as_json:
        document: dict[str, Any] = {
            "reason": error.reason,
            "message": error.message,
            "help": error.help,
            "metadata": error.metadata,
        }
        if error.retry_after_s is not None:
            document["retryAfterS"] = error.retry_after_s
        _print_json(document)
        return
    print(f"error: {clean(error.message)} [{error.reason}]\n  {error.help}", file=sys.stderr)


def report_usage(error: Any, *, as_json: bool) -> None:
    """Print what was typed wrong. `error` is Click's UsageError."""
    if type(error).__name__ == "NoArgsIsHelpError":
        # Nothing was typed wrong, only nothing yet: it carries the help, and Click has no public name for it either.
        print(error.format_message(), file=sys.stderr)
        return
    path = error.ctx.command_path if error.ctx is not None else "palaestra"
    help_line = f"`{path} --help` lists what there is."
    if as_json:
        _print_json({"reason": "USAGE", "message": error.format_message(), "help": help_line, "metadata": {}})
        return
    print(f"error: {error.format_message()} [USAGE]\n  {help_line}", file=sys.stderr)


def _print_json(error: dict[str, Any]) -> None:
    print(json.dumps({"error": error}, ensure_ascii=False), file=sys.stderr)
