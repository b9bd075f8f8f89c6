"""Logging in, the cookie, and where a cookie's requests may come from."""

from typing import Any

import httpx
import pytest

from api.session import Sessions


def log_in(stage: Any, token: str = "acme-token") -> httpx.Client:
    client: httpx.Client = stage.client()
    assert client.post("/login", json={"token": token}).status_code == 200
    return client


def test_a_login_opens_a_session_whose_cookie_does_not_hold_the_token(stage: Any) -> None:
    client = stage.client()

    response = client.post("/login", json={"token": "acme-token"})

    assert response.json() == {"role": "vendor", "vendor": "vendors/acme", "venue": "venues/hall"}
    assert client.get("/session").json() == {"open": True}
    assert stage.client().get("/session").json() == {"open": False}
    cookie = response.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "acme-token" not in cookie
    assert client.get("/v1/identity").json()["vendor"] == "vendors/acme"


def test_the_cookies_name_has_the_port_because_browsers_share_cookies_between_ports(stage: Any) -> None:
    assert list(log_in(stage).cookies) == [f"palaestra_session_{stage.settings.port}"]


def test_a_form_login_goes_on_to_one_of_our_own_pages(stage: Any) -> None:
    for target, place in (("/ui/lite", "/ui/lite"), ("https://evil.example/", "/"), ("//evil.example", "/")):
        response = stage.client().post("/login", data={"token": "acme-token", "next": target})
        assert (response.status_code, response.headers["location"]) == (303, place)


def test_a_wrong_token_opens_nothing(stage: Any) -> None:
    client = stage.client()

    assert client.post("/login", json={"token": "wrong"}).status_code == 401
    form = client.post("/login", data={"token": "wrong"})
    assert form.status_code == 401
    assert "does not know that token" in form.text
    assert not client.cookies


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"token": 5}', b"\xff", b"[" * 100_000])
def test_a_malformed_login_is_refused(stage: Any, body: bytes) -> None:
    assert stage.client().post("/login", content=body).status_code == 400


def test_a_token_in_the_address_does_not_log_in(stage: Any) -> None:
    response = stage.client().get("/login?token=acme-token")

    assert "set-cookie" not in response.headers
    assert "acme-token" not in response.text


def test_logging_out_ends_the_session_for_every_copy_of_the_cookie(stage: Any) -> None:
    client = log_in(stage)
    (name, value), *_ = client.cookies.items()
    origin = {"origin": stage.url}
    assert client.post("/logout", headers=origin).status_code == 303

    assert stage.client().get("/v1/identity", headers={"cookie": f"{name}={value}"}).status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "{url}"}, 404),
        ({"sec-fetch-site": "same-origin"}, 404),
        ({}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "{url}0"}, 403),
    ],
)
def test_a_cookie_changes_things_only_from_our_own_pages(stage: Any, headers: dict[str, str], status: int) -> None:
    """404: let through, and the scheduler knows no such job. 403: stopped at the door."""
    client = log_in(stage)
    sent = {name: value.format(url=stage.url) for name, value in headers.items()}

    assert client.post("/v1/vendors/acme/jobs/none:cancel", headers=sent).status_code == status


def test_a_bearer_token_needs_no_origin(stage: Any) -> None:
    response = stage.client("acme-token").post("/v1/vendors/acme/jobs/none:cancel")

    assert response.status_code == 404


def test_a_session_expires() -> None:
    now_s = 0.0
    sessions = Sessions(length_s=100.0, now_s=lambda: now_s)
    session_id = sessions.open("token")

    now_s = 99.0
    assert sessions.token_of(session_id) == "token"
    now_s = 100.0
    assert sessions.token_of(session_id) == ""
    now_s = 0.0
    assert sessions.token_of(session_id) == "", "an expired session is forgotten"


def test_sessions_are_bounded_and_the_oldest_goes_first() -> None:
    sessions = Sessions(length_s=100.0, now_s=lambda: 0.0)
    ids = [sessions.open(f"token-{number}") for number in range(10_001)]

    assert sessions.token_of(ids[0]) == ""
    assert sessions.token_of(ids[1]) == "token-1"
