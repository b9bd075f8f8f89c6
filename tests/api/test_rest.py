"""The plain routes, their errors, and what they refuse."""

from typing import Any

import httpx
import pytest

JOB = {
    "displayName": "walk",
    "claim": {"simSlots": 1, "duration": "60s"},
    "train": {"task": "reach", "robotModel": "own_arm"},
}
KEY = "018f0000-0000-7000-8000-000000000001"


@pytest.fixture
def acme(stage: Any) -> httpx.Client:
    return stage.client("acme-token")  # type: ignore[no-any-return]


def submit(client: httpx.Client, vendor: str = "acme", **headers: str) -> Any:
    return client.post(f"/v1/vendors/{vendor}/jobs", json=JOB, headers=headers)


def problem(response: httpx.Response) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json", response.text
    body = response.json()
    assert body["type"] == f"urn:palaestra:error:{body['reason']}"
    assert body["status"] == response.status_code
    assert body["title"]
    assert body["detail"]
    return response.status_code, body["reason"]


@pytest.mark.parametrize(
    ("path", "member"),
    [
        ("/v1/venue", "displayName"),
        ("/v1/identity", "role"),
        ("/v1/units", "units"),
        ("/v1/units/arm-2", "robotModel"),
        ("/v1/cells", "cells"),
        ("/v1/sim-slots", "simSlots"),
        ("/v1/usage", "total"),
    ],
)
def test_what_a_venue_has_is_canonical_json(acme: httpx.Client, path: str, member: str) -> None:
    response = acme.get(path)

    assert response.status_code == 200, response.text
    assert member in response.json()


def test_pages_follow_each_other_without_gap(acme: httpx.Client) -> None:
    seen: list[str] = []
    token = ""
    while True:
        page = acme.get("/v1/units", params={"pageSize": 4, "pageToken": token}).json()
        seen += [unit["name"] for unit in page["units"]]
        token = page.get("nextPageToken", "")
        if not token:
            break

    assert len(seen) == len(set(seen)) == 6


def test_a_submitted_job_can_be_read_explained_and_cancelled(acme: httpx.Client) -> None:
    job = submit(acme).json()
    path = f"/v1/{job['name']}"

    assert acme.get(path).json()["state"] == "JOB_STATE_QUEUED"
    assert acme.get("/v1/vendors/acme/jobs").json()["jobs"][0]["name"] == job["name"]
    assert acme.get(f"{path}:explain").json()["reasons"][0]["constraint"] == "UNITS"
    assert acme.post(f"{path}:cancel").json()["state"] == "JOB_STATE_CANCELLED"


def test_an_idempotency_key_makes_one_job_of_two_requests(acme: httpx.Client) -> None:
    first, second = (submit(acme, **{"Idempotency-Key": KEY}).json() for _ in range(2))

    assert first["name"] == second["name"]
    assert submit(acme).json()["name"] != first["name"]


def test_if_match_guards_against_a_changed_job(acme: httpx.Client) -> None:
    path = f"/v1/{submit(acme).json()['name']}"
    assert acme.get(path).headers["etag"] == '"1"'

    assert problem(acme.post(f"{path}:cancel", headers={"If-Match": '"0"'})) == (412, "ETAG_MISMATCH")
    assert acme.post(f"{path}:cancel", headers={"If-Match": '"1"'}).status_code == 200


def test_jobs_are_filtered_by_state(acme: httpx.Client) -> None:
    first, second = submit(acme).json(), submit(acme).json()
    acme.post(f"/v1/{first['name']}:cancel")

    found = acme.get("/v1/vendors/acme/jobs", params={"states": ["JOB_STATE_QUEUED", "JOB_STATE_RUNNING"]}).json()

    assert [job["name"] for job in found["jobs"]] == [second["name"]]


def test_the_log_is_read_from_a_line_or_from_its_end(stage: Any, acme: httpx.Client) -> None:
    name = submit(acme).json()["name"]
    stage.do(lambda state: state.logs.update({name: [f"line {n}" for n in range(1, 31)]}))

    tail = acme.get(f"/v1/{name}/log", params={"tail": 2}).json()["lines"]
    rest = acme.get(f"/v1/{name}/log", params={"fromLine": 29}).json()["lines"]

    assert [line["text"] for line in tail] == [line["text"] for line in rest] == ["line 29", "line 30"]


def test_only_operators_stop_and_reset_units(stage: Any, acme: httpx.Client) -> None:
    operator = stage.client("operator-token")

    assert problem(acme.post("/v1/units/arm-2:stop")) == (403, "ROLE_DENIED")
    assert operator.post("/v1/units/arm-2:stop").json()["state"] == "UNIT_STATE_STOPPED"
    assert operator.post("/v1/units/arm-2:reset").json()["state"] == "UNIT_STATE_IDLE"
    faulty = operator.post("/v1/units/arm-2:fault", json={"kind": "FAULT_KIND_JOINT_STUCK", "joint": "elbow"})
    assert faulty.json()["fault"] == "FAULT_KIND_JOINT_STUCK elbow"


@pytest.mark.parametrize("token", ["", "unknown", "b\u00e4d".encode().decode("latin-1"), "x" * 600])
def test_a_stranger_gets_401_whatever_the_token_looks_like(stage: Any, token: str) -> None:
    headers = [(b"authorization", f"Bearer {token}".encode("latin-1"))] if token else []
    response = httpx.get(f"{stage.url}/v1/venue", headers=headers)

    assert problem(response) == (401, "BAD_TOKEN")
    assert response.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("suffix", ["", ":explain", "/log", "/export"])
def test_anothers_job_and_no_job_are_the_same_bytes(stage: Any, acme: httpx.Client, suffix: str) -> None:
    name = submit(acme).json()["name"]
    rival = stage.client("rival-token")
    there = rival.get(f"/v1/{name}{suffix}")

    stage.do(lambda state: state.jobs.clear())
    gone = rival.get(f"/v1/{name}{suffix}")

    assert problem(there) == (404, "NOT_FOUND")
    assert there.content == gone.content
    assert {k: v for k, v in there.headers.items() if k != "date"} == {
        k: v for k, v in gone.headers.items() if k != "date"
    }


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b'"x"', b'{"claim": 7}', b'{"nope": 1}', b'{"priority": 1e99}',
     b'{"displayName": "\\ud800"}', b"[" * 200_000, b'{"claim": {"duration": "soon"}}', b'{"state": "X"}'],
)  # fmt: skip
def test_malformed_json_is_an_invalid_field(acme: httpx.Client, body: bytes) -> None:
    assert problem(acme.post("/v1/vendors/acme/jobs", content=body)) == (400, "INVALID_FIELD")


def test_a_job_that_breaks_a_rule_names_the_field(acme: httpx.Client) -> None:
    response = acme.post("/v1/vendors/acme/jobs", json=JOB | {"priority": 101})

    assert problem(response) == (400, "INVALID_FIELD")
    assert response.json()["metadata"]["field"] == "job.priority"


@pytest.mark.parametrize("query", ["nope=1", "pageSize=many", "pageSize=1&pageSize=2", "parent=venues/other"])
def test_an_unknown_or_malformed_parameter_is_refused(acme: httpx.Client, query: str) -> None:
    assert problem(acme.get(f"/v1/units?{query}")) == (400, "INVALID_FIELD")


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_over_a_mebibyte_is_413(acme: httpx.Client, declared: bool) -> None:
    """With a declared length nothing is read; without one reading stops at the limit."""
    body = b" " * ((1 << 20) + 1)
    content = body if declared else iter([body[: 1 << 19], body[: 1 << 19], b" "])

    assert problem(acme.post("/v1/vendors/acme/jobs", content=content)) == (413, "MESSAGE_TOO_LARGE")


@pytest.mark.parametrize("path", ["/nope", "/v1/nope", "/v1/units/", "/v1/vendors/acme/jobs/x/y"])
def test_an_unknown_path_is_a_problem_too(acme: httpx.Client, path: str) -> None:
    assert problem(acme.get(path)) == (404, "NOT_FOUND")


def test_a_wrong_method_is_405(acme: httpx.Client) -> None:
    response = acme.delete("/v1/venue")

    assert response.status_code == 405
    assert response.json()["type"] == "about:blank"


def test_a_foreign_host_name_is_refused_on_loopback(stage: Any) -> None:
    """A page elsewhere that points its name at this machine sends that name."""
    response = stage.client("acme-token").get("/v1/venue", headers={"host": "evil.example"})

    assert problem(response) == (403, "ROLE_DENIED")


def test_readiness_follows_the_scheduler_and_health_does_not(stage: Any) -> None:
    client = stage.client()
    assert client.get("/readyz").json()["checked"] == "database"

    stage.stop_scheduler()
    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").status_code == 200
    assert problem(stage.client("acme-token").get("/v1/venue")) == (503, "SHUTTING_DOWN")

    stage.start_scheduler()
    assert client.get("/readyz").status_code == 200


def test_every_answer_carries_the_security_headers(stage: Any) -> None:
    for path in ("/healthz", "/login", "/nope", "/v1/venue"):
        headers = stage.client().get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"


def test_every_handler_defect_is_a_500_problem_with_an_id(stage: Any, acme: httpx.Client) -> None:
    upstream = stage.server.config.app.state.upstream
    stage.server.config.app.state.upstream = None
    try:
        response = acme.get("/v1/venue")
    finally:
        stage.server.config.app.state.upstream = upstream

    assert problem(response) == (500, "INTERNAL")
    assert response.json()["metadata"]["error_id"] in response.json()["detail"]
