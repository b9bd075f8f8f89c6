"""What commands print: JSON in the contract's canonical form, or tables for people."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from palaestra.cli.text import clean

if TYPE_CHECKING:
    from rich.console import Console

_PIPE_WIDTH = 240


def print_json(document: Message | dict[str, Any]) -> None:
    """Print one document."""
    value = MessageToDict(document) if isinstance(document, Message) else document
    print(json.dumps(value, ensure_ascii=False, indent=2))


def print_json_line(message: Message) -> None:
    """Print one of many, on one line, at once."""
    print(json.dumps(MessageToDict(message), ensure_ascii=False), flush=True)


def listing(name: str, items: Iterable[Message]) -> dict[str, Any]:
    """Return a document of many messages, shaped as a list call's answer."""
    return {name: [MessageToDict(item) for item in items]}


def console() -> "Console":
    """Return where people read; a pipe is given room, so that names stay whole."""
    from rich.console import Console

    return Console(markup=False, emoji=False, highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str) -> None:
    """Print rows under headings, or a sentence if there are none."""
    from rich.table import Table
    from rich.text import Text

    table = Table(*headings, box=None, pad_edge=False, header_style="bold", show_edge=False)
    for row in rows:
        table.add_row(*(Text(clean(cell)) for cell in row))
    console().print(table if table.row_count else empty)


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Print labels and values, leaving out empty ones."""
    shown = [(label, value) for label, value in facts if value]
    width = max((len(label) for label, _ in shown), default=0)
    for label, value in shown:
        print(f"{label:<{width}}  {clean(value)}")


def print_line(text: str) -> None:
    """Print one line for people, at once."""
    print(clean(text), flush=True)
