"""The owner-only rule."""

import itertools

import pytest

from store import EpisodeNotFound
from store.access import Role, may_read, may_see, require_content

ACME, RIVAL = "vendors/acme", "vendors/rival"


@pytest.mark.parametrize(
    ("reader", "role", "reads", "sees"),
    [
        (ACME, Role.VENDOR, True, True),
        (ACME, "vendor", True, True),
        (RIVAL, Role.VENDOR, False, False),
        (None, Role.VENDOR, False, False),
        ("", Role.VENDOR, False, False),
        (None, Role.OPERATOR, False, True),
        (ACME, Role.OPERATOR, False, True),
        (ACME, "root", False, False),
        (ACME, "", False, False),
    ],
)
def test_only_the_owner_reads_and_operators_see_what_there_is(
    reader: str | None, role: str, reads: bool, sees: bool
) -> None:
    """The whole table."""
    assert may_read(reader, role, ACME) is reads
    assert may_see(reader, role, ACME) is sees


def test_nobody_owns_what_has_no_owner() -> None:
    """An empty vendor on both sides is no match."""
    for reader, role in itertools.product(("", None), Role):
        assert not may_read(reader, role, "")


def test_hidden_and_missing_look_the_same() -> None:
    """Same error, same words, whether it is another's or not there at all."""
    said = set()
    for reader, role, owner in (
        (RIVAL, "vendor", ACME),
        (RIVAL, "vendor", None),
        (None, "operator", ACME),
        (None, "operator", None),
    ):
        with pytest.raises(EpisodeNotFound) as caught:
            require_content("vendors/acme/episodes/e", reader_vendor=reader, role=role, owner_vendor=owner)
        said.add(str(caught.value))

    assert said == {"episode vendors/acme/episodes/e not found"}
    require_content("vendors/acme/episodes/e", reader_vendor=ACME, role="vendor", owner_vendor=ACME)
