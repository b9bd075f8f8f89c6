"""What the unmodified client, version 1.4.2, asked and was answered when it was last run, is answered so still."""

import json
from typing import Any

import pytest

from tests.sharing.delta.ground import WALKS, Delta, lines_of, path_of
from tests.sharing.delta.recording import RECORDED, exchange

EXCHANGES: list[dict[str, Any]] = json.loads(RECORDED.read_text())


def asked(client: Any, recorded: dict[str, Any], path: str) -> dict[str, Any]:
    """Ask again; return the exchange as it would be recorded."""
    headers, query = dict(recorded["headers"]), recorded["query"] if "?" not in path else path.partition("?")[2]
    if "range" in headers:
        headers["range"] = "bytes=0-7"
    where = f"{path.partition('?')[0]}?{query}" if query else path
    answer = client.request(recorded["method"], where, headers=headers, content=recorded["body"].encode())
    said = recorded["method"], path.partition("?")[0], query, headers
    found = exchange(*said, recorded["body"].encode(), answer.status_code, dict(answer.headers), answer.content)
    found["headers"] = recorded["headers"]
    return found


def test_the_recording_is_of_all_that_a_client_does() -> None:
    paths = {exchange["path"].rpartition("/")[2] for exchange in EXCHANGES}
    assert {"shares", "all-tables", "metadata", "query", "changes", "version", "FILE"} <= paths
    formats = {exchange["answer_headers"].get("delta-sharing-capabilities") for exchange in EXCHANGES}
    assert {"responseformat=parquet", "responseformat=delta"} <= formats


@pytest.mark.parametrize("with_delta", [False, True])
def test_every_recorded_question_is_answered_as_it_was(opened: Delta, with_delta: bool) -> None:
    client = opened.client(opened.credential("borealis", opened.stage.agree().digest))
    address = path_of(lines_of(client.post(f"{WALKS}/tables/joints/query", json={}))[2]["file"]["url"])
    seen = 0
    for recorded in EXCHANGES:
        is_delta = "delta;" in recorded["headers"].get("delta-sharing-capabilities", "")
        if is_delta != with_delta:
            continue
        seen += 1
        is_file = recorded["path"] == "FILE"
        who = opened.nobody() if is_file else client
        assert asked(who, recorded, address if is_file else recorded["path"]) == recorded
    assert seen
