"""The unmodified `delta-sharing` client against a real server, over a socket.

It needs an environment of its own (it pins pandas below 3): PALAESTRA_DELTA_CLIENT names its interpreter, such as that
of a virtual environment with `delta-sharing==1.4.2`. Where none is named, what was recorded with it stands in
(`test_recorded.py`); PALAESTRA_DELTA_RECORD=1 records it anew.
"""

import json
import os
import subprocess
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from sharing.server import create_app
from tests.sharing.delta.ground import ROWS, Delta
from tests.sharing.delta.recording import RECORDED, Recording
from tests.sharing.stage import CYGNUS, agreed, terms

INTERPRETER = os.environ.get("PALAESTRA_DELTA_CLIENT", "")


def read_through(opened: Delta, made: dict[str, Any], folder: Path) -> tuple[dict[str, Any], Recording]:
    """Serve the room at a port of this machine and run the client's program against it."""
    config = uvicorn.Config("", port=0, log_config=None)
    listening = config.bind_socket()
    listening.listen()
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    room = replace(opened.stage.room, address=address)
    recording = Recording(create_app(room, opened.stage.settings))
    config.app = recording
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    profile = folder / "borealis.share"
    profile.write_text(json.dumps(made["profile"] | {"endpoint": f"{address}/delta-sharing"}))
    program = Path(__file__).with_name("client_program.py")
    try:
        done = subprocess.run(
            [INTERPRETER, program, profile],
            capture_output=True,
            text=True,
            timeout=300,
            # The client has an environment of its own.
            env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
            cwd=folder,
        )
    finally:
        server.should_exit = True
        thread.join(60.0)
        listening.close()
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found, recording


@pytest.mark.skipif(not INTERPRETER, reason="PALAESTRA_DELTA_CLIENT names no interpreter")
def test_the_unmodified_client_lists_loads_travels_and_sees_nothing_of_others(opened: Delta, tmp_path: Path) -> None:
    mine = opened.stage.agree()
    opened.stage.room.register.add(agreed(terms(consumer=CYGNUS)))
    found, recording = read_through(opened, opened.credential("borealis", mine.digest), tmp_path)
    assert found["shares"] == ["aurora"]
    assert found["tables"] == ["aurora.walks.episodes", "aurora.walks.joints", "aurora.walks.observation_imu"]
    assert found["parquet"] == found["delta"] == found["any"]
    assert found["any"]["columns"] == ["episode", "time_s", "action", "observation.state"]
    assert len(found["any"]["episodes"]) == 2
    assert len(found["any"]["times_s"]) == 2 * ROWS
    assert all(len(state) == 3 for state in found["any"]["states"])
    for form in ("parquet", "delta"):
        assert found[f"{form} versions"] == [ROWS, 2 * ROWS]
        first, second = found["any"]["episodes"]
        assert found[f"{form} changes"] == [["delete", first, 2], ["insert", first, 2], ["insert", second, 2]]
    assert (found["limited"], found["time"], found["hinted"], found["newest"]) == (3, 2 * ROWS, ROWS, 2)
    assert (found["another's"], found["missing"]) == (404, 404)
    if os.environ.get("PALAESTRA_DELTA_RECORD"):
        # Once each: it reads files in like steps many times.
        each = {json.dumps(one, sort_keys=True): one for one in recording.exchanges}
        RECORDED.write_text(json.dumps(list(each.values()), indent=1, sort_keys=True) + "\n")
