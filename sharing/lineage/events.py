"""What happened between two vendors as OpenLineage run events (specification 2-0-2), from the leaves of the audit.

A vendor's events are made of its own leaves alone, so that they tell it nothing that the audit does not. Every run has
a START and an end: COMPLETE, FAIL or ABORT. Where the audit notes a thing once, when it is done, both have that time.
"""

import json
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

SCHEMA = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
PRODUCER = "urn:palaestra:sharing"
_FACET = "urn:palaestra:facet:sharing:1"
_NAMESPACE = uuid.UUID("6f1d8f0e-35a5-5d0a-9c57-3b0f8f4f6a11")
START, COMPLETE, FAIL, ABORT, RUNNING = "START", "COMPLETE", "FAIL", "ABORT", "RUNNING"
_JOB_STATES = {
    "queued": START,
    "running": RUNNING,
    "released": COMPLETE,
    "refused": FAIL,
    "failed": FAIL,
    "ended": ABORT,
}


def events_of(body: str, ground: str) -> Iterator[dict[str, Any]]:
    """Yield the events of one leaf of the audit; most have none.

    Args:
        body: The leaf's text, as `sharing.audit.log.Told` has it.
        ground: The log's name: the namespace of jobs and data sets.
    """
    leaf = json.loads(body)
    fields: Mapping[str, Any] = leaf["fields"]
    at = datetime.fromtimestamp(leaf["at_ms"] / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    for name, run, kinds, outputs in _runs(leaf["kind"], fields):
        for kind in kinds:
            yield {
                "eventType": kind,
                "eventTime": at,
                "producer": PRODUCER,
                "schemaURL": SCHEMA,
                "run": {
                    "runId": str(uuid.uuid5(_NAMESPACE, f"{ground}\n{name}\n{run}")),
                    "facets": {"palaestra_sharing": _facet(fields)},
                },
                "job": {"namespace": ground, "name": f"sharing.{name}"},
                "inputs": [{"namespace": ground, "name": one} for one in _inputs(fields)],
                "outputs": [{"namespace": ground, "name": one} for one in outputs if kind == COMPLETE],
            }


_Run = tuple[str, str, tuple[str, ...], tuple[str, ...]]


def _runs(kind: str, fields: Mapping[str, Any]) -> Iterator[_Run]:
    """Yield (job, run, types of the events, outputs)."""
    agreement = fields.get("agreement", "")
    root = f"agreements/{agreement}"
    if kind == "projection" and "made" in fields:
        yield "projection", fields["made"], (START, COMPLETE), (f"{root}/projections/{fields['made']}",)
    elif kind == "projection" and "refused" in fields:
        yield "projection", f"{agreement} {fields['refused']}", (START, FAIL), ()
    elif kind == "addresses":
        about = f"{agreement} {fields['files_sha256']} {fields['recipient']} {fields['table']}"
        yield "delta-share", about, (START, COMPLETE), (f"{root}/tables/{fields['table']}/{fields['version']}",)
    elif kind == "budget":
        yield "aggregate", f"{agreement} {fields['question']}", (START,) if fields["allowed"] else (START, FAIL), ()
    elif kind == "bytes" and fields.get("channel") == "aggregate":
        output = f"{root}/answers/{fields['about']}"
        yield "aggregate", f"{agreement} {fields['about']}", (COMPLETE,), (output,)
    elif kind == "bytes" and fields.get("channel") == "export":
        output = f"{root}/exports/{fields['file']}"
        yield "export", f"{agreement} {fields['file']}", (START, COMPLETE if fields["size_bytes"] else ABORT), (output,)
    elif kind == "job" and fields.get("state") in _JOB_STATES:
        output = f"{root}/results/{fields['job']}"
        yield "compute", fields["job"], (_JOB_STATES[fields["state"]],), (output,)


def _inputs(fields: Mapping[str, Any]) -> tuple[str, ...]:
    if "data_set" in fields:
        return (f"{fields['data_set']}/versions/{fields['version']}",)
    return (f"agreements/{fields['agreement']}",) if "agreement" in fields else ()


def _facet(fields: Mapping[str, Any]) -> dict[str, Any]:
    told = ("agreement", "provider", "consumer", "version", "algorithm", "question", "table", "size_bytes")
    return {"_producer": PRODUCER, "_schemaURL": _FACET, **{name: fields[name] for name in told if name in fields}}
