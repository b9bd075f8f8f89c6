"""What opens a leased slot: only for that lease, at that epoch, with that key, and for a little while."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra import tickets
from palaestra.errors import PalaestraError

KEY, LEASE, NOW_NS = "a lease's own secret", "vendors/acme/leases/7", 1_800_000_000_000_000_000
names = st.text(min_size=1, max_size=40)
epochs = st.integers(1, 2**40)


@given(names, names, epochs, st.integers(1, 10**12))
def test_a_ticket_opens_its_lease_until_its_time_is_over(key: str, lease: str, epoch: int, left_ms: int) -> None:
    expire_ns = NOW_NS + left_ms * 1_000_000
    ticket = tickets.issue(key, lease, epoch, expire_ns)

    tickets.check(ticket, key, lease, epoch, expire_ns - 1)
    with pytest.raises(PalaestraError, match="time is over"):
        tickets.check(ticket, key, lease, epoch, expire_ns)


@given(names, names, epochs)
def test_it_opens_no_other_lease_epoch_or_lock(key: str, lease: str, epoch: int) -> None:
    ticket = tickets.issue(KEY, LEASE, 3, NOW_NS + 10**9)
    if (key, lease, epoch) == (KEY, LEASE, 3):
        return
    with pytest.raises(PalaestraError, match="does not open"):
        tickets.check(ticket, key, lease, epoch, NOW_NS)


@given(st.data())
def test_a_ticket_with_one_letter_changed_opens_nothing(data: st.DataObject) -> None:
    """Also one whose time alone was put off."""
    ticket = tickets.issue(KEY, LEASE, 3, NOW_NS + 10**9)
    place = data.draw(st.integers(0, len(ticket) - 1))
    letter = data.draw(st.characters(codec="utf-8"))
    changed = ticket[:place] + letter + ticket[place + 1 :]
    if changed == ticket:
        return
    with pytest.raises(PalaestraError) as refused:
        tickets.check(changed, KEY, LEASE, 3, NOW_NS)
    assert refused.value.reason == "LEASE_TOKEN_INVALID"


@given(st.text(max_size=200))
def test_what_is_no_ticket_is_refused_like_a_wrong_one(text: str) -> None:
    with pytest.raises(PalaestraError) as refused:
        tickets.check(text, KEY, LEASE, 3, NOW_NS)
    assert refused.value.reason == "LEASE_TOKEN_INVALID"


@given(st.text(), st.integers(0, 10**18 - 1), st.text())
def test_what_a_call_shows_is_what_is_seen_and_fits_into_metadata(lease: str, epoch: int, ticket: str) -> None:
    shown = tickets.shown(lease, epoch, ticket)

    assert all(value.isascii() and value.isprintable() for _, value in shown)
    assert tickets.seen(shown) == (lease, epoch, ticket)


@pytest.mark.parametrize("left_out", range(3))
def test_metadata_without_one_of_them_show_no_ticket(left_out: int) -> None:
    some = [pair for place, pair in enumerate(tickets.shown(LEASE, 3, "t")) if place != left_out]
    with pytest.raises(PalaestraError, match="palaestra-ticket"):
        tickets.seen(some)


@pytest.mark.parametrize("epoch", ["", "-1", "three", "3.0", "9" * 19])
def test_an_epoch_that_is_no_number_shows_no_ticket(epoch: str) -> None:
    metadata = dict(tickets.shown(LEASE, 3, "t")) | {"palaestra-epoch": epoch}
    with pytest.raises(PalaestraError, match="palaestra-epoch"):
        tickets.seen(metadata.items())
