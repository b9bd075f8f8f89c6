"""Words and numbers for people. What came from elsewhere must not steer the terminal."""

from collections.abc import Sequence
from itertools import pairwise

_BLOCKS = "▁▂▃▄▅▆▇█"
_CONTROLS = {code: "\ufffd" for code in (*range(0x20), *range(0x7F, 0xA0)) if code != 0x09}


def clean(text: str) -> str:
    """Return the text with control characters, which could move the cursor or more, replaced."""
    return text.translate(_CONTROLS)


def seconds(value_s: float) -> str:
    """Return a duration as people say it."""
    if value_s < 60.0:
        return f"{value_s:.1f} s" if value_s < 10.0 else f"{value_s:.0f} s"
    minutes, rest_s = divmod(round(value_s), 60)
    if minutes < 60:
        return f"{minutes} min {rest_s:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def curve(values: Sequence[float], width: int = 40) -> str:
    """Return numbers as a line of at most `width` blocks, lowest to highest, each the mean of its span."""
    if not values:
        return ""
    count = min(width, len(values))
    edges = [index * len(values) // count for index in range(count + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    low, span = min(means), max(means) - min(means)
    return "".join(_BLOCKS[round((mean - low) / span * 7) if span > 0.0 else 0] for mean in means)
