"""Where a venue's runner calls served policies: what the venue says, and nowhere else."""

import pytest

from palaestra.policy_address import LOOPBACK, check_rule, end_of, is_allowed


@pytest.mark.parametrize(
    "address",
    ["ws://127.0.0.1:8000", "ws://localhost:1", "wss://LOCALHOST:443/", "ws://[::1]:8000"],
)
def test_by_default_it_calls_its_own_machine(address: str) -> None:
    assert is_allowed(address, LOOPBACK)


@pytest.mark.parametrize(
    "address",
    [
        "ws://10.0.0.7:8000",
        "ws://localhost.evil.example:8000",
        "ws://127.0.0.1.evil.example:8000",
        "ws://127.0.0.10:8000",
        "ws://[::2]:8000",
    ],
)
def test_and_nobody_else(address: str) -> None:
    assert not is_allowed(address, LOOPBACK)


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:80",
        "ws://127.0.0.1",
        "ws://127.0.0.1:x",
        "ws://127.0.0.1:99999",
        "ws://me@127.0.0.1:80",
        "ws://127.0.0.1:80@evil.example:80",
        "ws://127.0.0.1:80/path",
        "ws://127.0.0.1:80?q",
        "ws://:80",
        "",
    ],
)
def test_what_is_more_or_less_than_host_and_port_is_no_address(address: str) -> None:
    with pytest.raises(ValueError):
        end_of(address)


def test_a_rule_is_of_one_host_and_of_one_port_or_all() -> None:
    assert is_allowed("ws://gpu.example:8000", [check_rule("gpu.example:8000")])
    assert not is_allowed("ws://gpu.example:8001", ["gpu.example:8000"])
    assert is_allowed("ws://gpu.example:8001", [check_rule("GPU.example:*")])
    for rule in ("gpu.example", ":80", "gpu.example:0", "gpu.example:http", "*:80/x", "a b:80@c:1"):
        with pytest.raises(ValueError):
            check_rule(rule)
