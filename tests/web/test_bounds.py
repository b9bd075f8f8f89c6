"""What is refused before any handler sees it."""

import asyncio
from collections.abc import AsyncIterator, Iterable

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import Response

from palaestra.errors import PalaestraError
from web.bounds import Bounds
from web.problem import MEDIA_TYPE, install, response_of


def ask(
    path: str,
    *,
    method: str = "GET",
    headers: dict[str, str | bytes] | None = None,
    content: bytes | Iterable[bytes] = b"",
    loopback_only: bool = True,
) -> httpx.Response:
    """Return the answer of an application that gives back how long a body was."""
    app = FastAPI()

    async def length(request: Request) -> Response:
        return Response(str(len(await request.body())))

    async def broken() -> Response:
        raise RuntimeError("the secret of a defect")

    for each in ("/length", "/file"):
        app.add_api_route(each, length, methods=["POST", "GET"])
    app.add_api_route("/broken", broken)
    install(app, process="tested")
    app.add_middleware(
        Bounds,
        loopback_only=loopback_only,
        headers={"X-Content-Type-Options": "nosniff"},
        respond=response_of,
        body_bytes=10,
        larger={"/file": 20},
    )
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)

    async def parts() -> AsyncIterator[bytes]:
        for part in content:
            assert isinstance(part, bytes)
            yield part

    async def asked() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            body = content if isinstance(content, bytes) else parts()
            return await client.request(method, path, headers=headers, content=body)

    return asyncio.run(asked())


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9:80", "[::1]", "[::1]:80", "localhost", "localhost:8080"])
def test_names_of_this_machine_are_answered(host: str) -> None:
    assert ask("/length", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1.evil.example",
        "localhost.evil.example:80",
        "evil.example",
        "",
        ":80",
        "127.0.0.1,evil.example:1",
        "[::2]",
    ],
)
def test_another_name_is_refused_on_loopback_and_only_there(host: str) -> None:
    refused = ask("/length", headers={"host": host})

    assert refused.status_code == 403
    assert refused.json()["reason"] == "ROLE_DENIED"
    assert refused.headers["x-content-type-options"] == "nosniff"
    assert ask("/length", headers={"host": host}, loopback_only=False).status_code == 200


def test_a_body_is_bounded_by_its_path() -> None:
    assert ask("/length", method="POST", content=b"x" * 10).text == "10"
    assert ask("/length", method="POST", content=b"x" * 11).status_code == 413
    assert ask("/file", method="POST", content=b"x" * 20).text == "20"


def test_a_body_that_does_not_say_its_length_is_counted() -> None:
    refused = ask("/length", method="POST", content=iter([b"x" * 6, b"x" * 6]))

    assert refused.status_code == 413
    assert refused.json()["reason"] == "MESSAGE_TOO_LARGE"


@pytest.mark.parametrize("length", ["-1", "1e3", "²", "9" * 5000, " "])
def test_a_length_that_is_no_number_is_refused(length: str) -> None:
    assert ask("/length", method="POST", headers={"content-length": length.encode()}).status_code == 413


def test_a_defect_is_named_by_a_number_and_tells_nothing() -> None:
    answer = ask("/broken")

    assert answer.status_code == 500
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert "secret" not in answer.text
    assert len(answer.json()["metadata"]["error_id"]) == 16


def test_retries_are_told_when() -> None:
    answer = response_of(PalaestraError("RATE_LIMITED", "later", retry_after_s=2.2))

    assert answer.headers["retry-after"] == "2"
