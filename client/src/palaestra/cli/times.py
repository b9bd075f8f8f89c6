"""Points in time as people type them, and as they read them."""

import re
from datetime import UTC, datetime, timedelta

import typer

_SPAN = re.compile(r"\+?(\d+(?:\.\d+)?)\s*(s|min|h|d)")
_UNIT_S = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}


def moment(option: str, text: str, now: datetime) -> datetime:
    """Return a time such as "2026-11-23T09:00", "2026-11-23T09:00+08:00", "+2h" (from now) or "now".

    Without an offset it is local to the reader. Raises BadParameter.
    """
    if text == "now":
        return now
    if text.startswith("+"):
        return now + span(option, text)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{option} {text!r} is not a time such as 2026-11-23T09:00, +2h or now") from None
    return found.astimezone(UTC)


def span(option: str, text: str) -> timedelta:
    """Return a length of time such as "90min", "2h" or "1.5d". Raises BadParameter."""
    match = _SPAN.fullmatch(text.strip())
    if match is None or float(match[1]) > 1e6:
        raise typer.BadParameter(f"{option} {text!r} is not a length of time such as 90min, 2h or 1d")
    return timedelta(seconds=float(match[1]) * _UNIT_S[match[2]])


def local(time: datetime) -> str:
    """Return a time with date and offset where the reader is."""
    return time.astimezone().strftime("%Y-%m-%d %H:%M %z")
