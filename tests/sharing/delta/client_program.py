"""Run by the interpreter that has the unmodified `delta-sharing` client: reads through it, prints what it found.

python client_program.py PROFILE
"""

import json
import sys

import delta_sharing

profile = sys.argv[1]
client = delta_sharing.SharingClient(profile)
found: dict = {
    "shares": [share.name for share in client.list_shares()],
    "tables": [f"{table.share}.{table.schema}.{table.name}" for table in client.list_all_tables()],
}
address = f"{profile}#aurora.walks"
for form, use_delta in (("parquet", False), ("delta", True), ("any", None)):
    frame = delta_sharing.load_as_pandas(f"{address}.joints", use_delta_format=use_delta)
    found[form] = {
        "columns": list(frame.columns),
        "episodes": sorted(frame["episode"].unique()),
        "times_s": [float(value) for value in frame["time_s"]],
        "states": [[float(part) for part in value] for value in frame["observation.state"]],
    }
for form, use_delta in (("parquet", False), ("delta", True)):
    found[f"{form} versions"] = [
        len(delta_sharing.load_as_pandas(f"{address}.joints", version=version, use_delta_format=use_delta))
        for version in (1, 2)
    ]
    changes = delta_sharing.load_table_changes_as_pandas(
        f"{address}.episodes", starting_version=2, use_delta_format=use_delta
    )
    found[f"{form} changes"] = sorted(
        zip(changes["_change_type"], changes["episode"], changes["_commit_version"], strict=True)
    )
found["limited"] = len(delta_sharing.load_as_pandas(f"{address}.joints", limit=3))
found["time"] = len(delta_sharing.load_as_pandas(f"{address}.joints", timestamp="1970-01-01T00:00:00Z"))
hint = {
    "op": "greaterThan",
    "children": [
        {"op": "column", "name": "time_s", "valueType": "double"},
        {"op": "literal", "value": "9", "valueType": "double"},
    ],
}
found["hinted"] = len(delta_sharing.load_as_pandas(f"{address}.joints", jsonPredicateHints=json.dumps(hint)))
found["newest"] = delta_sharing.get_table_version(f"{address}.joints")
for name, wanted in (("another's", "aurora.secrets.joints"), ("missing", "nobody.nothing.joints")):
    try:
        delta_sharing.load_as_pandas(f"{profile}#{wanted}")
        found[name] = "loaded"
    except Exception as error:
        found[name] = getattr(getattr(error, "response", None), "status_code", repr(error))
print(json.dumps(found, default=str))
