"""The page of errors and the registry it is printed from."""

import re
from pathlib import Path

import grpc

from palaestra.errors import REASONS
from scheduler import roles
from scheduler.registry import markdown

ROOT = Path(__file__).parents[2]


def test_the_page_of_errors_is_the_registry() -> None:
    """docs/errors.md is what `python -m scheduler.registry` prints."""
    assert (ROOT / "docs" / "errors.md").read_text() == markdown()


def test_the_page_of_errors_tells_the_statuses_that_rest_answers_with() -> None:
    """Those that tests/api/test_rest.py gets from the api itself."""
    statuses = dict(re.findall(r"^\| `(\w+)` \| \w+ \| (\d+) \|", markdown(), re.MULTILINE))
    assert (statuses["ETAG_MISMATCH"], statuses["MESSAGE_TOO_LARGE"], statuses["NOT_FOUND"]) == ("412", "413", "404")


def test_the_page_of_roles_is_printed_from_the_table() -> None:
    assert (ROOT / "docs" / "roles.md").read_text() == roles.markdown()


def test_every_reason_has_a_status_other_than_ok_and_says_what_to_do() -> None:
    for reason in REASONS.values():
        assert reason.code not in (grpc.StatusCode.OK, grpc.StatusCode.UNKNOWN), reason.name
        assert len(reason.help) > 20, reason.name
        assert re.fullmatch("[A-Z_]{1,63}", reason.name)


def test_every_reason_that_the_scheduler_names_is_in_the_registry() -> None:
    """Reasons are texts in the code; a misspelt one would be an assertion error in front of a user."""
    named = {
        reason
        for path in (ROOT / "scheduler").rglob("*.py")
        for reason in re.findall(r'PalaestraError\(\s*"([A-Z_]+)"', path.read_text())
    }

    assert len(named) > 15
    assert named <= set(REASONS)
