"""MCAP: one file per episode, a topic for the joints, the base, each sensor and each stream.

Messages are JSON with their schemas; a channel's metadata has units and frames.

Times are the episode's wall clock. Header and outcome are the metadata record `palaestra`. Needs `mcap`.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from store.episode import JOINT_SIGNALS
from store.errors import ExportRefused
from store.exports.manifest import sign_folder
from store.exports.parquet import Progress, describe, read_headers
from store.folder import new_folder
from store.objects import ObjectStore
from store.reader import Episode, read_episode

JOINTS_TOPIC = "/joints"
_FIELDS = dict(zip(JOINT_SIGNALS, ("position", "velocity", "effort", "target"), strict=True))


def write_mcap(
    objects: ObjectStore,
    digests: Sequence[str],
    out: Path,
    *,
    key: Ed25519PrivateKey | None = None,
    licence: str = "unknown",
    progress: Progress | None = None,
) -> Path:
    """Write each episode as `NAME.mcap`; `out` appears whole or not at all. Arguments and errors: `write_parquet`."""
    try:
        from mcap.writer import Writer
    except ImportError as error:
        raise ExportRefused(f"writing MCAP needs the extra [import]: {error}") from error
    headers = read_headers(objects, digests)
    with new_folder(out) as folder:
        for done, digest in enumerate(headers, 1):
            episode = read_episode(objects.path_of(digest), sha256=digest)
            path = folder / f"{episode.header.name.rpartition('/')[2]}.mcap"
            if path.exists():
                raise ExportRefused(f"episode {digest}: another one is called {path.stem} too")
            with open(path, "wb") as file:
                _write(Writer(file), episode)
            if progress is not None:
                progress(done, len(headers))
        describe(folder, headers, licence, (), "application/x-mcap")
        if key is not None:
            sign_folder(folder, key, {"format": "mcap", "episodes": len(headers)})
    return out


def _write(writer: Any, episode: Episode) -> None:
    header = episode.header
    writer.start(profile="", library="palaestra")
    writer.add_metadata("palaestra", {"header": header.to_json(), "outcome": episode.outcome.to_json()})
    signals = [signal for signal in JOINT_SIGNALS if signal in episode.signals]
    messages: list[tuple[int, int, Any]] = []
    if signals:
        units = {_FIELDS[signal]: header.units[signal] for signal in signals}
        frames = {_FIELDS[signal]: (header.frames or {}).get(signal, "") for signal in signals}
        channel = _channel(writer, JOINTS_TOPIC, "palaestra.Joints", units, frames)
        columns = [episode.signals[signal].tolist() for signal in signals]
        names = list(header.joint_names)
        for time_s, *row in zip(episode.time_s.tolist(), *columns, strict=True):
            said = {"name": names, **{_FIELDS[signal]: value for signal, value in zip(signals, row, strict=True)}}
            messages.append((_stamp(header.started_at_ns, time_s), channel, said))
    for signal in header.signals:
        if signal in JOINT_SIGNALS:
            continue
        frame = {"value": (header.frames or {}).get(signal, "")}
        channel = _channel(writer, _topic(signal), f"palaestra.{signal}", {"value": header.units[signal]}, frame)
        messages += [
            (_stamp(header.started_at_ns, time_s), channel, {"value": value})
            for time_s, value in zip(episode.time_s.tolist(), episode.signals[signal].tolist(), strict=True)
        ]
    for name, stream in header.streams.items():
        channel = _channel(writer, _topic(name), f"palaestra.{name}", {"value": stream.unit}, {"value": stream.frame})
        rows = episode.streams[name]
        values = rows.values if isinstance(rows.values, list) else rows.values.tolist()
        messages += [
            (_stamp(header.started_at_ns, time_s), channel, {"value": value})
            for time_s, value in zip(rows.time_s.tolist(), values, strict=True)
        ]
    # In the order of their times, whatever track they are of: that is how a reader plays them.
    for stamp_ns, channel, said in sorted(messages, key=lambda message: message[:2]):
        writer.add_message(channel, stamp_ns, json.dumps(said, separators=(",", ":")).encode(), stamp_ns)
    writer.finish()


def _topic(name: str) -> str:
    return "/" + name.replace(".", "/")


def _channel(writer: Any, topic: str, name: str, units: dict[str, str], frames: dict[str, str]) -> int:
    number = {"type": "array", "items": {"type": "number"}}
    properties = {field: {**number, "description": unit} for field, unit in units.items()}
    schema = {"type": "object", "properties": properties}
    schema_id = writer.register_schema(name, "jsonschema", json.dumps(schema).encode())
    told = {f"unit.{k}": v for k, v in units.items()} | {f"frame.{k}": v for k, v in frames.items() if v}
    channel: int = writer.register_channel(topic, "json", schema_id, told)
    return channel


def _stamp(start_ns: int, time_s: float) -> int:
    return start_ns + round(time_s * 1e9)
