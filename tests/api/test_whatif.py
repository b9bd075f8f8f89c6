"""What-if and the record of estimates over HTTP, with the real scheduler behind it."""

import threading
from dataclasses import replace
from pathlib import Path

import httpx

from api.__main__ import server as api_server
from scheduler.commands import running
from scheduler.commands.submitting import Catalogue
from scheduler.core import RunnerConnection
from tests.api.conftest import free_port, settings_in, wait_for
from tests.scheduler.site import LiveServer
from web.listening import listen

JOB = {
    "claim": {"simSlots": 2, "duration": "600s"},
    "collect": {"motion": "sway", "robotModel": "own_arm"},
}


def test_a_start_is_told_before_a_job_is_submitted_and_a_change_with_its_claim(tmp_path: Path) -> None:
    with LiveServer(tmp_path) as server:
        server.run(running.register_runner("r", "r/one", 2))
        server.core.runners["r"] = RunnerConnection("r/one", Catalogue())
        settings = replace(settings_in(tmp_path), scheduler=server.address, port=free_port())
        serving, listening = api_server(settings), listen(settings)
        served = threading.Thread(target=serving.run, kwargs={"sockets": [listening]}, daemon=True)
        served.start()
        wait_for(lambda: serving.started, "the api starts")
        with httpx.Client(base_url=f"http://127.0.0.1:{settings.port}", timeout=20) as client:
            vendor = {"authorization": f"Bearer {server.token('vendor-acme')}"}
            path = "/v1/vendors/acme/jobs"
            at_once = client.post(f"{path}:whatIf", json=JOB, headers=vendor)
            half = JOB | {"claim": {"simSlots": 1, "duration": "600s"}}
            held = client.post(path, json=half, headers=vendor).json()
            wait_for(
                lambda: client.get(f"/v1/{held['name']}", headers=vendor).json()["state"] == "JOB_STATE_GRANTED",
                "the first job is granted",
            )
            told = client.post(f"{path}:whatIf", json=JOB, headers=vendor).json()
            changed = told["start"]["counterfactuals"][0]["claim"]
            better = client.post(f"{path}:whatIf", json=JOB | {"claim": changed}, headers=vendor).json()
            waiting = client.post(path, json=JOB, headers=vendor).json()
            explained = client.get(f"/v1/{waiting['name']}:explain", headers=vendor).json()
            others = client.post("/v1/vendors/rival/jobs:whatIf", json=JOB, headers=vendor)
            estimates = client.get("/v1/estimates", headers=vendor)
        serving.should_exit = True
        served.join(15)

    assert (at_once.status_code, at_once.json()["startsNow"]) == (200, True)
    assert "startsNow" not in told
    assert told["reasons"][0]["constraint"] == "SIM_SLOTS"
    assert changed["simSlots"] == 1
    assert better["startsNow"]
    assert explained["start"]["plannedTime"] == told["start"]["plannedTime"]
    assert others.status_code == 404
    assert (estimates.status_code, estimates.json()) == (200, {})
