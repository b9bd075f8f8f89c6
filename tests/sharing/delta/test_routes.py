"""The protocol as a client sees it: listings, versions, both formats, hints, pages, changes, files."""

import io
import json
from typing import Any

import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]
import pytest

from tests.sharing.delta.ground import ROOT, ROWS, WALKS, Delta, lines_of, path_of
from tests.sharing.stage import NOW_S

DELTA_FORMAT = {"delta-sharing-capabilities": "responseformat=delta;readerfeatures=deletionvectors,columnmapping"}


@pytest.fixture
def client(opened: Delta) -> Any:
    return opened.client(opened.credential("borealis", opened.stage.agree().digest))


def query(client: Any, table: str = "joints", headers: Any = None, **body: Any) -> list[dict[str, Any]]:
    return lines_of(client.post(f"{WALKS}/tables/{table}/query", json=body, headers=headers))


def test_shares_schemas_and_tables_are_listed(client: Any) -> None:
    assert client.get(f"{ROOT}/shares").json() == {"items": [{"name": "aurora"}]}
    assert client.get(f"{ROOT}/shares/aurora").json() == {"share": {"name": "aurora"}}
    assert client.get(f"{ROOT}/shares/aurora/schemas").json() == {"items": [{"name": "walks", "share": "aurora"}]}
    tables = client.get(f"{WALKS}/tables").json()["items"]
    assert [table["name"] for table in tables] == ["episodes", "joints", "observation_imu"]
    assert client.get(f"{ROOT}/shares/aurora/all-tables").json()["items"] == tables


def test_names_are_compared_without_case(client: Any) -> None:
    shouted = f"{ROOT}/shares/AURORA/schemas/WALKS/tables/JOINTS/metadata"
    assert client.get(shouted).content == client.get(f"{WALKS}/tables/joints/metadata").content


def test_listings_go_on_where_they_ended(client: Any) -> None:
    found, token, calls = [], "", 0
    while True:
        page = client.get(f"{WALKS}/tables", params={"maxResults": 1, "pageToken": token}).json()
        assert len(page["items"]) <= 1
        found += [item["name"] for item in page["items"]]
        calls += 1
        token = page.get("nextPageToken", "")
        if not token:
            break
    assert (found, calls) == (["episodes", "joints", "observation_imu"], 3)
    none = client.get(f"{WALKS}/tables", params={"maxResults": 0}).json()
    assert none["items"] == [] and none["nextPageToken"]


def test_the_version_is_the_newest_that_is_granted(opened: Delta) -> None:
    for last, newest in ((0, "2"), (1, "1")):
        agreement = opened.stage.agree(last_version=last, note=f"up to {last}")
        client = opened.client(opened.credential("borealis", agreement.digest))
        answer = client.get(f"{WALKS}/tables/joints/version")
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["delta-table-version"] == newest
        later = {"version": 2 if last else 3}
        assert client.post(f"{WALKS}/tables/joints/query", json=later).status_code == 404


def test_metadata_and_files_in_the_parquet_format(client: Any) -> None:
    answer = client.post(f"{WALKS}/tables/joints/query", json={})
    assert answer.headers["delta-table-version"] == "2"
    assert answer.headers["delta-sharing-capabilities"] == "responseformat=parquet"
    protocol, metadata, *files = lines_of(answer)
    assert protocol == {"protocol": {"minReaderVersion": 1}}
    described = metadata["metaData"]
    assert set(described) == {
        *("id", "format", "schemaString", "partitionColumns", "configuration", "version", "size", "numFiles")
    }
    fields = json.loads(described["schemaString"])["fields"]
    assert [field["name"] for field in fields] == ["episode", "time_s", "action", "observation.state"]
    assert fields[2]["type"] == {"type": "array", "elementType": "float", "containsNull": False}
    assert described["numFiles"] == len(files) == 2
    assert described["size"] == sum(line["file"]["size"] for line in files)
    for line in files:
        assert set(line["file"]) == {"url", "id", "partitionValues", "size", "stats", "expirationTimestamp"}
        stats = json.loads(line["file"]["stats"])
        assert stats["numRecords"] == ROWS
        assert set(stats["minValues"]) == set(stats["maxValues"]) == {"episode", "time_s"}
    assert lines_of(client.get(f"{WALKS}/tables/joints/metadata")) == [protocol, metadata]


def test_files_in_the_delta_format_are_actions_of_a_log(client: Any) -> None:
    answer = client.post(f"{WALKS}/tables/joints/query", json={}, headers=DELTA_FORMAT)
    assert answer.headers["delta-sharing-capabilities"] == "responseformat=delta"
    protocol, metadata, *files = lines_of(answer)
    assert protocol["protocol"]["deltaProtocol"]["minReaderVersion"] == 1
    assert metadata["metaData"]["deltaMetadata"]["format"]["provider"] == "parquet"
    for line in files:
        add = line["file"]["deltaSingleAction"]["add"]
        assert {"path", "partitionValues", "size", "modificationTime", "dataChange", "stats"} == set(add)
        # Without it a delta kernel takes the address for a path.
        assert "X-Amz-Signature=" in add["path"]


def test_a_client_that_reads_both_formats_gets_parquet(client: Any) -> None:
    both = {"delta-sharing-capabilities": "responseformat=delta,parquet;readerfeatures=deletionvectors"}
    answer = client.get(f"{WALKS}/tables/joints/metadata", headers=both)
    assert answer.headers["delta-sharing-capabilities"] == "responseformat=parquet"


def test_versions_and_times_lead_back(client: Any) -> None:
    assert len(query(client, version=1)) == 3
    assert len(query(client, version=2)) == 4
    line = query(client, version=1)[2]["file"]
    assert (line["version"], line["timestamp"]) == (1, 0)
    # Both versions of the data set were made in the first second of 1970.
    assert len(query(client, timestamp="1970-01-01T00:00:00Z")) == 4
    answer = client.get(f"{WALKS}/tables/joints/version", params={"startingTimestamp": "1970-01-01T00:00:00Z"})
    assert answer.headers["delta-table-version"] == "1"
    late = client.get(f"{WALKS}/tables/joints/version", params={"startingTimestamp": "2026-01-01T00:00:00Z"})
    assert late.status_code == 404


def test_an_unchanged_file_has_the_same_id_in_each_version(client: Any) -> None:
    old, new = ([line["file"]["id"] for line in query(client, version=version)[2:]] for version in (1, 2))
    assert old == new[:1] and len(set(new)) == 2


HINTS: list[Any] = [
    ({"predicateHints": ["time_s >= 10"]}, 1),
    ({"predicateHints": ["time_s < 5", "10 <= time_s"]}, 0),
    ({"predicateHints": ["no such column = 3", "TIME_S > 5"]}, 1),
    ({"predicateHints": ["observation.effort > 1e9"]}, 2),
    ({"limitHint": 1}, 1),
    ({"limitHint": 6}, 2),
    ({"limitHint": 0}, 0),
    ({"limitHint": 1, "predicateHints": ["time_s >= 0"]}, 2),
]


def test_hints_leave_out_files_that_cannot_match(client: Any) -> None:
    for body, count in HINTS:
        assert len(query(client, **body)) == 2 + count


def test_json_hints_are_understood(client: Any) -> None:
    tree = {
        "op": "and",
        "children": [
            {
                "op": "not",
                "children": [
                    {
                        "op": "lessThan",
                        "children": [
                            {"op": "column", "name": "time_s", "valueType": "double"},
                            {"op": "literal", "value": "9.5", "valueType": "double"},
                        ],
                    }
                ],
            }
        ]
        * 2,
    }
    assert len(query(client, jsonPredicateHints=json.dumps(tree))) == 3


def test_files_come_in_pages_of_one_version(client: Any) -> None:
    first = query(client, maxFiles=1)
    token = first[-1]["endStreamAction"]["nextPageToken"]
    second = query(client, maxFiles=1, pageToken=token)
    assert "endStreamAction" not in second[-1]
    ids = [line["file"]["id"] for line in first + second if "file" in line]
    assert ids == [line["file"]["id"] for line in query(client)[2:]]


def test_the_end_of_an_answer_is_marked_if_asked_for(client: Any) -> None:
    headers = {"delta-sharing-capabilities": "responseformat=parquet;includeEndStreamAction=true"}
    answer = client.post(f"{WALKS}/tables/joints/query", json={}, headers=headers)
    assert "includeendstreamaction=true" in answer.headers["delta-sharing-capabilities"]
    assert lines_of(answer)[-1]["endStreamAction"]["minUrlExpirationTimestamp"] == (NOW_S + 300) * 1000


def test_a_file_is_read_by_its_address_alone_whole_and_in_ranges(opened: Delta, client: Any) -> None:
    line = query(client)[2]["file"]
    nobody, path = opened.nobody(), path_of(line["url"])
    whole = nobody.get(path)
    assert (whole.status_code, len(whole.content)) == (200, line["size"])
    assert pq.read_table(io.BytesIO(whole.content)).num_rows == ROWS
    head = nobody.head(path)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(line["size"]), b"")
    assert head.headers["accept-ranges"] == "bytes"
    size = line["size"]
    for header, begin, end in (("bytes=0-9", 0, 10), ("bytes=-8", size - 8, size), (f"bytes=10-{size * 2}", 10, size)):
        part = nobody.get(path, headers={"Range": header})
        assert (part.status_code, part.content) == (206, whole.content[begin:end])
        assert part.headers["content-range"] == f"bytes {begin}-{end - 1}/{size}"
    assert nobody.get(path, headers={"Range": f"bytes={size}-"}).status_code == 416
    assert nobody.get(path, headers={"Range": "bytes=5-2"}).content == whole.content


def test_changes_tell_what_came_with_each_version(client: Any) -> None:
    _, _, *lines = lines_of(client.get(f"{WALKS}/tables/joints/changes", params={"startingVersion": 1}))
    assert [(kind, line[kind]["version"]) for line in lines for kind in line] == [("add", 1), ("add", 2)]
    _, _, *lines = lines_of(client.get(f"{WALKS}/tables/episodes/changes", params={"startingVersion": 2}))
    assert [(kind, line[kind]["version"]) for line in lines for kind in line] == [("remove", 2), ("add", 2)]
    assert "stats" not in lines[0]["remove"]
    answer = client.get(f"{WALKS}/tables/episodes/changes", params={"startingVersion": 2}, headers=DELTA_FORMAT)
    _, _, *lines = lines_of(answer)
    assert [list(line["file"]["deltaSingleAction"]) for line in lines] == [["remove"], ["add"]]
    assert query(client, "joints", startingVersion=2)[2:][0]["add"]["version"] == 2


def test_what_was_removed_can_be_read_as_it_was(opened: Delta, client: Any) -> None:
    _, _, gone, came = lines_of(client.get(f"{WALKS}/tables/episodes/changes", params={"startingVersion": 2}))
    counts = [
        pq.read_table(io.BytesIO(opened.nobody().get(path_of(line["url"])).content)).num_rows
        for line in (gone["remove"], came["add"])
    ]
    assert counts == [1, 2]


def test_addresses_and_bytes_are_noted(opened: Delta, client: Any) -> None:
    line = query(client)[2]["file"]
    opened.nobody().get(path_of(line["url"]), headers={"Range": "bytes=4-13"})
    notes = opened.stage.notes
    assert [note["files"] for note in notes.of("addresses")] == [2]
    (sent,) = notes.of("bytes")
    assert (sent["begin"], sent["size_bytes"], sent["consumer"]) == (4, 10, "vendors/borealis")
    assert sent["file"] == line["id"]


BAD_BODIES: list[Any] = [
    [],
    {"version": -1},
    {"version": True},
    {"timestamp": "now"},
    {"limitHint": 2**60},
    {"maxFiles": 0},
]


def test_a_body_out_of_its_bounds_is_refused_with_its_field(client: Any) -> None:
    for body in BAD_BODIES:
        answer = client.post(f"{WALKS}/tables/joints/query", json=body)
        assert (answer.status_code, answer.json()["reason"]) == (400, "INVALID_FIELD")


def test_what_was_projected_is_kept_until_the_standing_changes(opened: Delta, client: Any) -> None:
    query(client)
    query(client)
    assert len(opened.tables.projected) == 1
    opened.stage.as_("aurora").put("/sharing/v1/classes/action", json={"class": "P4"})
    fields = json.loads(query(client)[1]["metaData"]["schemaString"])["fields"]
    assert "action" not in [field["name"] for field in fields]
    assert len(opened.tables.projected) == 2
