"""Who calls, for every combination of what can be shown: pure, without a server."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.errors import PalaestraError
from palaestra.v1 import api_key_pb2
from scheduler.commands.keying import check
from scheduler.identity import Identification, Identity, Shown
from scheduler.roles import ROLES, UNSCOPED, Role, in_scope

ROLE = st.sampled_from(Role)


@st.composite
def identities(draw: st.DrawFn) -> Identity:
    role = draw(ROLE)
    return Identity(role, draw(st.sampled_from(["acme", "rival"])) if role.acts_for_vendor else "")


@dataclass(frozen=True)
class One:
    """Knows one secret and one certificate."""

    secret: str
    identity: Identity

    def identify(self, shown: str | bytes) -> Identity | None:
        if isinstance(shown, bytes):
            return self.identity
        return self.identity if shown == self.secret else None


HEADERS = st.sampled_from(["Bearer good", "bearer good", "Bearer bad", "good", "", b"\xff", "Basic good"])


@given(st.lists(HEADERS, max_size=3), identities(), st.none() | identities())
def test_nobody_is_let_in_as_another_than_what_was_shown_says(
    headers: list[str | bytes], holder: Identity, certified: Identity | None
) -> None:
    """One good token, or a certificate alone; both only of one vendor or one role, or carried by the gateway."""
    certifier = One("", certified) if certified is not None else None
    identification = Identification([One("good", holder)], certifier)  # type: ignore[arg-type]
    shown = Shown(tuple(headers), b"pem" if certified is not None else b"")
    one_good = headers in (["Bearer good"], ["bearer good"])
    carried = certified is None or certified.role is Role.GATEWAY
    like = certified is not None and (
        certified.vendor == holder.vendor and (holder.vendor != "" or certified.role is holder.role)
    )
    if not headers and certified is not None:
        assert identification.identify(shown) == certified
    elif one_good and (carried or like):
        assert identification.identify(shown) == holder
    else:
        with pytest.raises(PalaestraError) as caught:
            identification.identify(shown)
        assert caught.value.reason == ("CERTIFICATE_REFUSED" if one_good else "BAD_TOKEN")


@given(identities(), ROLE, st.lists(st.sampled_from(sorted([*ROLES, "JobService/*", "VenueService/*", "None/*"]))),
       st.booleans())  # fmt: skip
def test_no_key_opens_what_its_maker_could_not_have_made_it_for(
    maker: Identity, role: Role, methods: list[str], own: bool
) -> None:
    """A key that is made is of a role on the maker's side, and its scopes are methods of that role."""
    vendor = maker.vendor if own else ""
    spec = api_key_pb2.ApiKey(role=role.value, methods=methods)
    may = {method for method, roles in ROLES.items() if role in roles} - UNSCOPED
    fits = all(any(in_scope(method, frozenset({scope})) for method in may) for scope in methods)
    if fits and role.acts_for_vendor == bool(vendor):
        assert check(spec, vendor, maker, [], 0) is role
    else:
        with pytest.raises(PalaestraError) as caught:
            check(spec, vendor, maker, [], 0)
        assert caught.value.reason == "INVALID_FIELD"
