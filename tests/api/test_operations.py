"""What operators do over HTTP, and who did what, with the real scheduler behind it."""

import threading
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from api.__main__ import server as api_server
from tests.api.conftest import free_port, settings_in, wait_for
from tests.scheduler.site import LiveServer
from web.listening import listen


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with LiveServer(tmp_path_factory.mktemp("hall")) as server:
        yield server


@pytest.fixture(scope="module")
def client(live: LiveServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    settings = replace(settings_in(tmp_path_factory.mktemp("api")), scheduler=live.address, port=free_port())
    serving, listening = api_server(settings), listen(settings)
    served = threading.Thread(target=serving.run, kwargs={"sockets": [listening]}, daemon=True)
    served.start()
    wait_for(lambda: serving.started, "the api starts")
    with httpx.Client(base_url=f"http://127.0.0.1:{settings.port}", timeout=20) as opened:
        yield opened
    serving.should_exit = True
    served.join(15)


def headers(live: LiveServer, who: str) -> dict[str, str]:
    return {"authorization": f"Bearer {live.token(who)}"}


def test_a_venue_and_a_cell_are_stopped_and_the_audit_tells_by_whom(live: LiveServer, client: httpx.Client) -> None:
    operator, acme = headers(live, "operator"), headers(live, "vendor-acme")
    units = client.post("/v1/venue:stop", json={"reason": "smoke"}, headers=operator).json()["units"]
    assert units == [f"venues/hall/units/arm-{n}" for n in (1, 2, 3)]
    assert client.post("/v1/cells/bench:stop", headers=operator).status_code == 200
    assert client.post("/v1/units/arm-1:stop", json={"reason": "smoke"}, headers=operator).status_code == 200
    assert client.post("/v1/venue:stop", headers=acme).json()["reason"] == "ROLE_DENIED"

    entries = client.get("/v1/venues/-/audit", headers=operator).json()["entries"]
    assert [(entry["method"], entry["resource"], entry.get("reason", "")) for entry in entries] == [
        ("FleetService/StopVenue", "venues/-", "smoke"),
        ("FleetService/StopCell", "venues/hall/cells/bench", ""),
        ("VenueService/StopUnit", "venues/hall/units/arm-1", "smoke"),
    ]
    assert {entry["actor"] for entry in entries} == {"operator by token"}, "and not the gateway, which carried it"
    assert client.get("/v1/venues/-/audit", headers=acme).json()["reason"] == "NOT_FOUND"


def test_a_vendor_reads_its_own_part_and_moves_its_job(live: LiveServer, client: httpx.Client) -> None:
    acme = headers(live, "vendor-acme")
    body = {"claim": {"units": [{"selector": {"robotModel": "own_arm"}, "count": 1}], "duration": "60s"},
            "collect": {"motion": "sway", "robotModel": "own_arm"}}  # fmt: skip
    made = client.post("/v1/vendors/acme/jobs", json=body, headers=acme).json()
    moved = client.post(f"/v1/{made['name']}:reorder", json={"priority": 9, "reason": "a guest"}, headers=acme)
    assert moved.json()["priority"] == 9
    stale = client.post(
        f"/v1/{made['name']}:reorder",
        json={"priority": 1, "reason": "late"},
        headers=acme | {"If-Match": f'"{made["etag"]}"'},
    )
    assert (stale.status_code, stale.json()["reason"]) == (412, "ETAG_MISMATCH")

    told = client.get("/v1/vendors/acme/audit?afterSequence=1", headers=acme).json()["entries"]
    assert [(entry["sequence"], entry["method"], entry["reason"]) for entry in told] == [
        ("2", "JobService/ReorderJob", "a guest")
    ]
    head = client.get("/v1/vendors/acme/audit:head", headers=acme).json()
    assert (head["sequence"], head["hash"]) == ("2", told[0]["hash"])
    assert client.get("/v1/vendors/rival/audit", headers=acme).json()["reason"] == "NOT_FOUND"
    assert client.get("/v1/nonsense/acme/audit", headers=acme).json()["reason"] == "INVALID_FIELD"


def test_a_read_mask_leaves_the_fields_that_it_names(live: LiveServer, client: httpx.Client) -> None:
    acme = headers(live, "vendor-acme")
    listed = client.get("/v1/vendors/acme/jobs?readMask=name,claim.duration", headers=acme).json()["jobs"]
    assert [set(found) for found in listed] == [{"name", "claim"}] * len(listed)
    assert client.get("/v1/vendors/acme/jobs?readMask=nothing", headers=acme).json()["reason"] == "UNKNOWN_FIELD_PATH"
