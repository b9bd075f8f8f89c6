"""Closures and reservations over HTTP, with the real scheduler behind it."""

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from api.__main__ import server as api_server
from tests.api.conftest import free_port, settings_in, wait_for
from tests.scheduler.site import LiveServer
from web.listening import listen


def test_a_reservation_and_a_closure_are_made_listed_and_taken_back_over_http(tmp_path: Path) -> None:
    with LiveServer(tmp_path) as server:
        server.run(lambda tx: tx.db.execute("INSERT INTO sim_slot (id, runner) VALUES ('r-0', 'r')"))
        settings = replace(settings_in(tmp_path), scheduler=server.address, port=free_port())
        serving, listening = api_server(settings), listen(settings)
        served = threading.Thread(target=serving.run, kwargs={"sockets": [listening]}, daemon=True)
        served.start()
        wait_for(lambda: serving.started, "the api starts")
        with httpx.Client(base_url=f"http://127.0.0.1:{settings.port}", timeout=20) as client:
            vendor = {"authorization": f"Bearer {server.token('vendor-acme')}"}
            operator = {"authorization": f"Bearer {server.token('operator')}"}
            start = datetime.fromtimestamp(time.time(), UTC) + timedelta(hours=1)
            body = {
                "claim": {"simSlots": 1, "duration": "60s"},
                "startTime": start.isoformat(),
                "endTime": (start + timedelta(hours=1)).isoformat(),
            }
            path = "/v1/vendors/acme/reservations"
            made = client.post(path, json=body, headers=vendor).json()
            refused = client.post(path, json=body, headers=vendor)
            listed = client.get(path, headers=vendor).json()["reservations"]
            shown = client.get(f"/v1/{made['name']}", headers=vendor).json()
            cancelled = client.post(f"/v1/{made['name']}:cancel", headers=vendor).json()
            closing = {"displayName": "cleaning", "endTime": start.isoformat()}
            closed = client.post("/v1/closures", json=closing, headers=operator).json()
            denied = client.post("/v1/closures", json=closing, headers=vendor)
            times = client.get("/v1/closed-times?days=2", headers=vendor).json()
            gone = client.delete(f"/v1/closures/{closed['name'].rpartition('/')[2]}", headers=operator)
            left = client.get("/v1/closures", headers=vendor).json()
        serving.should_exit = True
        served.join(15)

        assert (refused.status_code, refused.json()["reason"]) == (400, "NO_CAPACITY")
        assert [item["name"] for item in listed] == [made["name"]] == [shown["name"]]
        assert cancelled["state"] == "RESERVATION_STATE_CANCELLED"
        assert (denied.status_code, gone.status_code, left) == (403, 200, {})
        assert (len(times["closedTimes"]), times["timeZone"]) == (1, "UTC")
