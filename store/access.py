"""Who may have the bytes of an episode: today its owner, and nobody else.

Whoever serves bytes asks `require_content` and passes on its error unchanged: an episode that does not exist
and one that belongs to somebody else answer in the same words.
"""

from enum import StrEnum

from store.errors import EpisodeNotFound


class Role(StrEnum):
    """What a caller acts as: for a vendor, or for the house."""

    VENDOR = "vendor"
    ENGINEER = "engineer"
    READER = "reader"
    OPERATOR = "operator"
    SAFETY = "safety"


_OWNERS = frozenset({Role.VENDOR, Role.ENGINEER, Role.READER})
_HOUSE = frozenset({Role.OPERATOR, Role.SAFETY})


def may_read(reader_vendor: str | None, role: str, owner_vendor: str) -> bool:
    """Return whether the reader may have the content of the owner's episode: only the owner may.

    Who runs the house never reads what vendors recorded. An unknown role reads nothing.
    """
    return role in _OWNERS and bool(owner_vendor) and reader_vendor == owner_vendor


def may_see(reader_vendor: str | None, role: str, owner_vendor: str) -> bool:
    """Return whether the reader may know that the episode exists, and its metadata: owner and house."""
    return role in _HOUSE or may_read(reader_vendor, role, owner_vendor)


def require_content(name: str, *, reader_vendor: str | None, role: str, owner_vendor: str | None) -> None:
    """Return if the reader may have the content of episode `name`.

    Args:
        name: What the reader asked for; the only thing the error repeats.
        owner_vendor: The owner, or None if there is no such episode.

    Raises:
        EpisodeNotFound: Missing or not the reader's, in the same words.
    """
    if owner_vendor is None or not may_read(reader_vendor, role, owner_vendor):
        raise EpisodeNotFound(f"episode {name} not found")
