"""How much of the store a vendor may have: the venue file's words, and what follows from them."""

from typing import Any

import pytest

from catalogue.keeping import Usage
from scheduler.quota import Quota, Quotas, quotas_of
from scheduler.toml import BadConfiguration

VENDORS = frozenset({"acme", "bolt"})


def used(episodes: int, size_bytes: int) -> Usage:
    return Usage("acme", episodes, size_bytes)


def test_the_venue_file_says_what_everybody_may_have_and_what_one_does() -> None:
    found = quotas_of(
        {"store": {"quota_gb": 2, "quota_episodes": 9, "vendor": [{"id": "acme", "quota_gb": 0.5}]}}, VENDORS, "x.toml"
    )
    assert found.of("bolt") == Quota(2 * 10**9, 9)
    assert found.of("acme") == Quota(5 * 10**8, 9)
    assert quotas_of({}, VENDORS, "x.toml").of("acme") == Quota()


@pytest.mark.parametrize(
    ("store", "why"),
    [
        ({"quota_mb": 2}, r"\[store\] has no quota_mb"),
        ({"quota_gb": 0}, "quota_gb is 0, must be positive"),
        ({"quota_gb": float("nan")}, "quota_gb is nan"),
        ({"quota_episodes": 1.5}, "quota_episodes is 1.5"),
        ({"warn_share": 2}, "warn_share is 2"),
        ({"vendor": [{"id": "nobody"}]}, "'nobody' is no vendor"),
        ({"vendor": [{"id": "acme"}, {"id": "acme"}]}, "acme occurs twice"),
        ({"vendor": [{"id": "acme", "quota": 1}]}, "acme has no quota"),
    ],
)
def test_a_quota_that_cannot_be_meant_is_refused_by_its_field(store: dict[str, Any], why: str) -> None:
    with pytest.raises(BadConfiguration, match=f"^x.toml: .*{why}"):
        quotas_of({"store": store}, VENDORS, "x.toml")


def test_an_episode_is_refused_when_it_does_not_fit_and_only_then() -> None:
    quota = Quota(size_bytes=100, episodes=3)
    assert quota.refusal(used(2, 99)) is None  # nobody knows yet how large it becomes
    assert quota.refusal(used(2, 99), 1) is None
    assert quota.refusal(used(2, 99), 2) == "99 of 100 bytes are there, and 2 bytes would come"
    assert quota.refusal(used(2, 100)) == "100 of 100 bytes are there"
    assert quota.refusal(used(3, 0)) == "3 of 3 episodes are there"
    assert Quota().refusal(used(10**9, 10**18), 10**18) is None


def test_a_vendor_is_warned_before_its_quota_is_full_and_told_when_it_is() -> None:
    quotas = Quotas(Quota(size_bytes=10**10, episodes=100), warn_share=0.8)
    assert quotas.warning("acme", used(79, 7 * 10**9)) == ""
    nearly = quotas.warning("acme", used(10, 8 * 10**9))
    assert nearly == "the store's quota is nearly full: 8.00 of 10 GB"
    assert quotas.warning("acme", used(100, 0)).startswith(
        "the store's quota is full, and nothing more is recorded: 100"
    )
