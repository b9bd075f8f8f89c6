"""What a client can read, by its header `delta-sharing-capabilities`, and what it is answered."""

from dataclasses import dataclass
from enum import StrEnum

HEADER = "delta-sharing-capabilities"


class Format(StrEnum):
    """How answers are written."""

    PARQUET = "parquet"
    DELTA = "delta"


@dataclass(frozen=True)
class Capabilities:
    """As agreed for one answer. end_action: The client wants the answer's end marked."""

    format: Format = Format.PARQUET
    end_action: bool = False

    def header(self) -> str:
        """Return the answer's header."""
        end = ";includeendstreamaction=true" if self.end_action else ""
        return f"responseformat={self.format}{end}"


def read(header: str) -> Capabilities:
    """Return what an answer should be like. Parquet, wherever the client can read that: no table here needs more."""
    said: dict[str, set[str]] = {}
    for part in header[:4_096].lower().split(";"):
        name, _, values = part.partition("=")
        said[name.strip()] = {value.strip() for value in values.split(",")}
    formats = said.get("responseformat", set())
    chosen = Format.DELTA if "delta" in formats and "parquet" not in formats else Format.PARQUET
    return Capabilities(chosen, "true" in said.get("includeendstreamaction", set()))
