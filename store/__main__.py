"""The store by hand: look into sealed episodes, prove the objects, import, export, draw."""

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from store.command import add_sweep
from store.encrypted import source_at
from store.episode import ACTION, STATE
from store.errors import StoreError
from store.exports.cli import add_commands as add_exports
from store.imports.cli import add_command as add_import
from store.imports.raw import one_line
from store.keys_cli import add_commands as add_keys
from store.lerobot import export_job
from store.marked import draw_marked
from store.objects import open_objects
from store.plot import draw_episode
from store.quality import cameras_of, check_track, near_duplicates, signature_of, track_of
from store.quality.replays import read_replays
from store.quality.score import METHOD
from store.reader import read_episode, read_summary
from store.reports.cli import add_commands as add_reports
from store.spool import clean_spool


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code: 0 done, 1 refused or damaged, 2 wrongly called."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
        return code
    except (StoreError, OSError) as error:
        print(f"store: {one_line(str(error))}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m store", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    inspect = commands.add_parser("inspect", help="print header, outcome and size of a sealed episode as JSON")
    inspect.add_argument("file", type=Path, help="a sealed episode, i.e. an object")
    inspect.set_defaults(run=_inspect)

    verify = commands.add_parser("verify", help="read every object and check its hash; names the damaged ones")
    verify.add_argument("root", type=Path, help="folder of the object store")
    verify.set_defaults(run=_verify)

    export = commands.add_parser(
        "export", help="write episodes as a LeRobot v3.0 data set, one folder per body if bodies are mixed"
    )
    export.add_argument("--objects", type=Path, required=True, metavar="ROOT", help="folder of the object store")
    export.add_argument(
        "--sha",
        action="append",
        required=True,
        metavar="SHA256[,SHA256...]",
        help="episodes, in the order of their index; may be given many times",
    )
    export.add_argument("--fps", type=int, default=50, help="steps per second (default: %(default)s)")
    export.add_argument("out", type=Path, metavar="OUT", help="folder to make; must not exist or be empty")
    export.set_defaults(run=_export)

    plot = commands.add_parser("plot", help="draw positions, velocities and efforts of an episode")
    plot.add_argument("file", type=Path, help="a sealed episode, i.e. an object")
    plot.add_argument("out", type=Path, metavar="OUT.png", help="image to write; the suffix chooses the format")
    plot.set_defaults(run=_plot)

    add_keys(commands)
    mark = commands.add_parser("mark", help="draw an episode's signals with what is wrong marked, and its cameras")
    mark.add_argument("file", type=Path, help="a sealed episode, i.e. an object")
    mark.add_argument("out", type=Path, metavar="OUT.png", help="image to write; the suffix chooses the format")
    mark.set_defaults(run=_mark)

    add_import(commands)
    add_exports(commands)
    add_reports(commands)

    score = commands.add_parser("score", help="score sealed episodes and print what is wrong with them as JSON lines")
    score.add_argument("files", type=Path, nargs="+", metavar="FILE", help="sealed episodes, i.e. objects")
    score.add_argument("--each", action="store_true", help="tell of a file that cannot be read, and go on")
    score.add_argument(
        "--twin", type=Path, metavar="LINES", help="what `python -m runner.replay.measure` said of them, for the score"
    )
    score.set_defaults(run=_score)

    clean = commands.add_parser("clean", help="remove what killed recorders left in a spool folder")
    clean.add_argument("spool", type=Path, help="spool folder; files of living recorders stay")
    clean.set_defaults(run=_clean)
    add_sweep(commands)
    return parser


def _inspect(options: argparse.Namespace) -> int:
    summary = read_summary(source_at(options.file))
    values = {
        "header": json.loads(summary.header.to_json()),
        "outcome": asdict(summary.outcome),
        "rows": summary.rows,
        "size_bytes": summary.size_bytes,
    }
    print(json.dumps(values, indent=2, ensure_ascii=False))
    return 0


def _verify(options: argparse.Namespace) -> int:
    if not (options.root / "sha256").is_dir():
        print(f"store: {options.root} is no object store: it has no folder sha256", file=sys.stderr)
        return 1
    objects = open_objects(str(options.root), options.root)
    whole = damaged = size_bytes = 0
    for digest in objects.digests():
        try:
            size_bytes += objects.verify(digest).size_bytes
            whole += 1
        except StoreError as error:
            damaged += 1
            print(f"damaged: {error}")
        _progress(f"{whole + damaged} objects, {size_bytes / 1e6:.0f} MB")
    _progress("")
    print(f"{whole} objects whole ({size_bytes / 1e6:.1f} MB), {damaged} damaged")
    return 1 if damaged else 0


def _export(options: argparse.Namespace) -> int:
    if not (options.objects / "sha256").is_dir():
        print(f"store: {options.objects} is no object store: it has no folder sha256", file=sys.stderr)
        return 1
    datasets = export_job(
        open_objects(str(options.objects), options.objects),
        [digest for group in options.sha for digest in group.split(",")],
        options.out,
        options.fps,
        progress=lambda done, total: _progress(f"{done} of {total} episodes"),
    )
    _progress("")
    for dataset in datasets:
        print(f"{dataset.path}: {dataset.robot_model}, {dataset.episodes} episodes, {dataset.steps} steps")
    return 0


def _score(options: argparse.Namespace) -> int:
    signatures, files = [], []
    replays = read_replays(options.twin) if options.twin else {}
    for file in options.files:
        try:
            source = source_at(file)
            episode = read_episode(source)
            track = track_of(episode, cameras_of(source, episode.header.cameras))
            quality = check_track(track, **replays.get(str(file), {}))
        except (StoreError, OSError) as error:
            if not options.each:
                raise
            print(json.dumps({"file": str(file), "refused": one_line(str(error))}, ensure_ascii=False))
            continue
        if STATE in track.signals or ACTION in track.signals:  # an import may have streams alone, which are no path
            signatures.append(signature_of(track))
            files.append(str(file))
        words = {"file": str(file), "name": episode.header.name, "outcome": asdict(episode.outcome), "method": METHOD}
        print(json.dumps({**words, **asdict(quality)}, ensure_ascii=False))
    for one, two, distance in near_duplicates(signatures):
        print(json.dumps({"near_duplicates": [files[one], files[two]], "distance": distance}, ensure_ascii=False))
    return 0


def _plot(options: argparse.Namespace) -> int:
    draw_episode(read_episode(source_at(options.file)), options.out)
    print(options.out)
    return 0


def _mark(options: argparse.Namespace) -> int:
    episode = read_episode(options.file)
    track = track_of(episode, cameras_of(options.file, episode.header.cameras))
    draw_marked(episode, check_track(track), options.out, file=options.file)
    print(options.out)
    return 0


def _clean(options: argparse.Namespace) -> int:
    print(f"{clean_spool(options.spool)} bytes freed")
    return 0


def _progress(text: str) -> None:
    """Show a line of progress in place, if a person is looking."""
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns - 1
        print(f"\r{text[:width]:<{width}}\r", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
