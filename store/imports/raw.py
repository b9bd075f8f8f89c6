"""What an importer gives: episodes of signals as the source has them, at raw rates, with what the source says of them.

Nothing here is canonical yet: `mapping` says which raw signal becomes which signal of an episode, in which unit.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from store.errors import ImportRefused

MAX_VALUES = 2**28
"""Most values of one import by default, as of one episode: 2 GiB decoded as float64."""
MAX_SIGNALS = 4096
MAX_EPISODES = 100_000
MAX_NAME = 255


@dataclass(frozen=True)
class RawSignal:
    """One signal of the source.

    Attributes:
        name: As the source calls it, a topic and a field or a column.
        time_s: Times since the episode's `start_ns` [s], shape (rows,).
        values: Shape (rows, width), numbers; or as many texts.
        names: Names of the `width` columns.
        unit: Its unit of measure where the source or its format says it; None where nobody does.
        frame: Its frame, where the source says it.
        role: The signal of an episode that this is by its format; None where only a person can know.
    """

    name: str
    time_s: np.ndarray
    values: np.ndarray | list[str]
    names: tuple[str, ...]
    unit: str | None = None
    frame: str | None = None
    role: str | None = None

    @property
    def is_text(self) -> bool:
        """Whether its values are texts."""
        return isinstance(self.values, list)


@dataclass(frozen=True)
class RawEpisode:
    """One run of the source.

    Attributes:
        place: Where in the source it is, e.g. `episode 3`.
        start_ns: Wall clock of time 0, nanoseconds since 1970 UTC; 0 where the source does not say it.
        task, robot, clock_source, status, cause: What the source says; empty where it says nothing.
        passed_over: What of the source nobody here can read.
    """

    place: str
    signals: tuple[RawSignal, ...]
    start_ns: int = 0
    task: str = ""
    robot: str = ""
    clock_source: str = ""
    status: str = ""
    cause: str = ""
    passed_over: tuple[str, ...] = ()


@dataclass(frozen=True)
class Options:
    """What a mapping tells a reader of how to read; see `mapping.Mapping`."""

    time_column: str = ""
    time_unit: str = ""
    rate_hz: float | None = None
    delimiter: str = ""
    decimal: str = ""
    max_values: int = MAX_VALUES


@dataclass
class Budget:
    """How much may still be decoded. A reader asks *before* it decodes, by rows times width as claimed."""

    values: int = MAX_VALUES
    left: int = field(init=False)

    def __post_init__(self) -> None:
        self.left = self.values

    def take(self, place: str, rows: int, width: int) -> None:
        """Take `rows` x `width` values. Raises ImportRefused, which names the place."""
        if rows < 0 or width < 0:
            raise ImportRefused(f"{place}: claims {rows} rows of {width} values")
        self.left -= rows * max(width, 1)
        if self.left < 0:
            raise ImportRefused(
                f"{place}: {rows} rows of {width} values are more than is imported at once "
                f"({self.values} values in all)"
            )


class Format(Protocol):
    """One format. Every one passes `tests/store/imports/test_formats.py`."""

    NAME: str

    def sniff(self, path: Path, head: bytes) -> bool:
        """Return whether `path` looks like this format; `head` is the first bytes of a file, empty of a folder."""
        ...

    def read(self, path: Path, options: Options) -> Iterator[RawEpisode]:
        """Yield the episodes. Raises ImportRefused, which names the place."""
        ...


def describe(episode: RawEpisode) -> list[dict[str, Any]]:
    """Return what an episode has, without its values: what a person needs to write a mapping."""
    described = []
    for signal in episode.signals:
        rows = len(signal.time_s)
        span_s = float(signal.time_s[-1] - signal.time_s[0]) if rows > 1 else 0.0
        described.append(
            {
                "name": signal.name,
                "rows": rows,
                "names": list(signal.names),
                "rate_hz": round((rows - 1) / span_s, 3) if span_s > 0 else None,
                "unit": signal.unit,
                "frame": signal.frame,
                "role": signal.role,
                "kind": "text" if signal.is_text else str(np.asarray(signal.values).dtype),
            }
        )
    return described


def checked(episode: RawEpisode) -> RawEpisode:
    """Return the episode if its shapes, names and clocks are sound. Raises ImportRefused, which names the place.

    Values may be missing (NaN) here; `mapping` decides about them.
    """
    if not episode.signals:
        raise ImportRefused(f"{episode.place}: no signals")
    if len(episode.signals) > MAX_SIGNALS:
        raise ImportRefused(f"{episode.place}: {len(episode.signals)} signals; at most {MAX_SIGNALS} are read")
    seen: set[str] = set()
    for signal in episode.signals:
        place = f"{episode.place}: {signal.name}"
        if signal.name in seen:
            raise ImportRefused(f"{place}: there are two of this name")
        seen.add(signal.name)
        rows = len(signal.values)
        if signal.time_s.shape != (rows,):
            raise ImportRefused(f"{place}: {rows} rows with times of shape {signal.time_s.shape}")
        if not isinstance(signal.values, list) and signal.values.shape != (rows, len(signal.names)):
            raise ImportRefused(f"{place}: shape {signal.values.shape} with {len(signal.names)} names")
        wrong = np.flatnonzero(~np.isfinite(signal.time_s))
        if wrong.size:
            raise ImportRefused(f"{place}: row {wrong[0]}: time {signal.time_s[wrong[0]]} is not finite")
        wrong = np.flatnonzero(np.diff(signal.time_s) < 0)
        if wrong.size:
            row = int(wrong[0]) + 1
            raise ImportRefused(
                f"{place}: row {row}: the clock runs backwards, from {signal.time_s[row - 1]} s "
                f"to {signal.time_s[row]} s"
            )
    return episode


def one_line(text: str, most: int = 2000) -> str:
    """Return a source's words as they may be shown: no line of their own, nothing that a terminal obeys."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:most])


def unique(names: list[str]) -> tuple[str, ...]:
    """Return the names made different: the second `x` is `x#2`."""
    counts: Mapping[str, int] | dict[str, int] = {}
    found = []
    taken = set(names)
    for name in names:
        counts[name] = counts.get(name, 0) + 1  # type: ignore[index]
        other = name if counts[name] == 1 else f"{name}#{counts[name]}"
        while other != name and other in taken:
            other += "'"
        taken.add(other)
        found.append(other)
    return tuple(found)
