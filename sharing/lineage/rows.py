"""From an episode's name in what a consumer has, back to agreement, version and, for its provider, the recording."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from catalogue.dataset import Source as Step
from database.sql import Connection
from sharing.database import looking
from sharing.errors import NotShared
from sharing.projection.pseudonym import agreement_key, pseudonym
from sharing.projection.sources import Readers, sources_of

MAX_LOOKED = 500_000
"""Names that are tried for one question: half a second."""
NAME_MAX = 64
_MADE = """
SELECT DISTINCT agreement, provider, consumer, data_set, version FROM projection
WHERE provider = ?1 OR consumer = ?1 ORDER BY agreement, version
"""
_STEPS = """
SELECT l.source, l.step, l.code_sha256, l.parameters FROM lineage l JOIN dataset_version v ON v.id = l.version
JOIN dataset d ON d.id = v.dataset WHERE d.vendor = ? AND d.name = ? AND v.number = ? ORDER BY l.id
"""
_EPISODE = "SELECT uid, job, unit, start_ns, quality FROM episode WHERE uid = ? AND vendor = ?"


@dataclass
class Origin:
    """Where an episode that left is from.

    Attributes:
        versions: Of the data set, that it is in and that were made for the consumer.
        terms: Columns and transforms: what was done to it on the way.
        recording: The recording itself, and the steps before the version: for the provider alone, else empty.
    """

    agreement: str
    provider: str
    consumer: str
    data_set: str
    versions: list[int] = field(default_factory=list)
    terms: Mapping[str, Any] = field(default_factory=dict)
    recording: Mapping[str, Any] = field(default_factory=dict)


def origin_of(episode: str, party: str, *, ledger: Readers, catalogue: Readers, secret: bytes) -> Origin:
    """Return where an episode comes from, to one side of the agreement by which it left.

    Args:
        episode: Its name in the tables, such as `episode-0a1b...`; it belongs to one agreement.
        party: `vendors/{vendor}`; what is another's is not even looked for.

    Raises:
        NotShared: It is none of this party's.
    """
    if not episode.startswith("episode-") or len(episode) > NAME_MAX:
        raise NotShared
    looked, keys, found = 0, {}, None
    names: dict[tuple[str, str], str] = {}
    for row in ledger.reader().execute(_MADE, (party,)).fetchall():
        agreement = row["agreement"]
        if found is not None and found.agreement != agreement:
            break
        try:
            _, sources = sources_of(catalogue, row["data_set"], row["version"])
        except NotShared:
            continue
        if agreement not in keys:
            keys[agreement] = agreement_key(secret, agreement, "names")
        for source in sources:
            of = (agreement, source.sha256)
            if of not in names:
                looked += 1
                if looked > MAX_LOOKED:
                    raise NotShared
                names[of] = pseudonym(keys[agreement], "episode", source.sha256)
            if names[of] != episode:
                continue
            if found is None:
                found = Origin(agreement, row["provider"], row["consumer"], row["data_set"])
                found.terms = _terms(ledger.reader(), agreement)
                if party == row["provider"]:
                    with looking():
                        db = catalogue.reader()
                        found.recording = _recording(db, found, source.uid, source.sha256, row["version"])
            found.versions.append(row["version"])
    if found is None:
        raise NotShared
    return found


def _terms(db: Connection, agreement: str) -> dict[str, Any]:
    row = db.execute("SELECT document FROM agreement WHERE digest = ?", (agreement,)).fetchone()
    terms = json.loads(row["document"])["terms"] if row is not None else {}
    return {name: terms[name] for name in ("columns", "transforms", "purposes", "duties", "valid_until_s") if terms}


def _recording(db: Connection, of: Origin, uid: str, sha256: str, version: int) -> dict[str, Any]:
    vendor, name = of.data_set.split("/")[1::2]
    row = db.execute(_EPISODE, (uid, vendor)).fetchone()
    steps = [Step(*one) for one in db.execute(_STEPS, (vendor, name, version))]
    return {
        "episode": f"vendors/{vendor}/episodes/{uid}",
        "sha256": sha256,
        "job": row["job"] if row is not None else "",
        "unit": row["unit"] if row is not None else "",
        "start_ns": str(row["start_ns"]) if row is not None else "",
        "steps": [
            {"source": one.source, "step": one.step, "code_sha256": one.code_sha256, "parameters": one.parameters}
            for one in steps
        ],
    }
