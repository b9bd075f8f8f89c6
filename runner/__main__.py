"""`python -m runner`: carry out attempts for one scheduler."""

import argparse
import asyncio
import logging
import os
import secrets
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

from palaestra.policy_address import check_rule
from palaestra.tls_files import NoCertificate, ServerFiles, TlsFiles
from runner.errors import RayLost, RunnerError
from runner.settings import Settings
from store import StoreError, open_objects


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m runner", description=__doc__)
    parser.add_argument("--scheduler", required=True, help="address of the scheduler")
    parser.add_argument("--token-file", type=Path, required=True, help="token of role runner")
    parser.add_argument("--store", type=Path, required=True, help="folder of the store")
    parser.add_argument(
        "--objects", default="", metavar="ADDRESS", help="where sealed episodes go if not there, s3://bucket/prefix"
    )
    parser.add_argument("--name", default="runner", help="name within the venue")
    parser.add_argument("--copies-bytes", type=int, help="most that copies of objects elsewhere may be on this machine")
    parser.add_argument("--sim-slots", type=int, default=2, help="cores that may be leased for worlds")
    parser.add_argument("--warm-workers", type=int, default=3, help="worker processes kept ready")
    parser.add_argument("--ray-address", default="", help="a running Ray cluster; by default one is started")
    parser.add_argument("--ray-cpus", type=int, default=2, help="CPUs of the Ray that is started")
    parser.add_argument("--ray-folder", type=Path, help="where that Ray keeps its files, emptied before; a short path")
    TlsFiles.add_options(parser)
    TlsFiles.add_options(parser, prefix="drive-")
    parser.add_argument("--slots-listen", default="", help="where worlds are served to those from elsewhere, with TLS")
    parser.add_argument("--slots-name", default="", help="by which those from elsewhere know this machine")
    parser.add_argument("--slots-cert", type=Path, metavar="FILE", help="certificate that is shown to them")
    parser.add_argument("--slots-key", type=Path, metavar="FILE", help="its private key")
    parser.add_argument(
        "--policy-server",
        action="append",
        default=[],
        metavar="HOST:PORT",
        help="where served policies may be called; PORT may be * (repeatable; nowhere by default)",
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        token = arguments.token_file.read_text(encoding="utf-8").strip()
        folder = None if arguments.ray_address else _ray_folder(arguments.ray_folder)
        tls, drive_tls = TlsFiles.of(arguments), TlsFiles.of(arguments, prefix="drive-")
        tls.check_private(arguments.scheduler)
        policy_servers = tuple(check_rule(rule) for rule in arguments.policy_server)
        if arguments.slots_listen:
            if not (arguments.slots_name and arguments.slots_cert and arguments.slots_key):
                raise NoCertificate("--slots-listen needs --slots-name, --slots-cert and --slots-key")
            ServerFiles(arguments.slots_cert, arguments.slots_key)
        if arguments.objects:
            open_objects(arguments.objects, arguments.store / "objects")
    except (OSError, ValueError, NoCertificate, StoreError) as error:
        print(f"runner: {error}", file=sys.stderr)
        return 2
    root = os.environ.get("MENAGERIE_ROOT")
    settings = Settings(
        runner=arguments.name,
        scheduler=arguments.scheduler,
        token=token,
        objects=arguments.store / "objects",
        spool=arguments.store / "spool",
        objects_at=arguments.objects,
        copies_bytes=arguments.copies_bytes,
        sim_slots=arguments.sim_slots,
        warm_workers=arguments.warm_workers,
        ray_address=arguments.ray_address,
        ray_cpus=arguments.ray_cpus,
        ray_folder=folder,
        menagerie_root=Path(root) if root else None,
        tls=tls,
        drive_tls=drive_tls,
        slots_listen=arguments.slots_listen,
        slots_name=arguments.slots_name,
        slots_cert=arguments.slots_cert,
        slots_key=arguments.slots_key,
        policy_servers=policy_servers,
    )
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray's default of 15 would have whoever sends targets to robots wait for everybody else.
    os.environ.setdefault("RAY_worker_niceness", "0")
    # A node that has gone silent is given up after half a minute; by Ray's defaults it may take more than one.
    os.environ.setdefault("RAY_health_check_period_ms", "2000")
    os.environ.setdefault("RAY_health_check_timeout_ms", "5000")
    os.environ.setdefault("RAY_health_check_failure_threshold", "4")
    if folder is not None:
        # Ray's own would be a world-readable file in the home folder.
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        os.environ["RAY_AUTH_MODE"] = "token"
        # Makes Ray listen on loopback alone; without it, it looks for an address that others can reach, also when it is
        # told 127.0.0.1 (ray._private.services.get_node_ip_address, Ray 2.60).
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    try:
        asyncio.run(_serve(settings))
    except RunnerError as error:
        logging.error("%s", error)
        return 1
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
    return 0


def _ray_folder(given: Path | None) -> Path:
    """Return an empty folder for Ray's files and sockets, whose paths must be short."""
    if given is None:
        return Path(tempfile.mkdtemp(prefix="pal-ray-"))
    # What a killed instance left.
    shutil.rmtree(given, ignore_errors=True)
    given.mkdir(mode=0o700)
    return given


async def _serve(settings: Settings) -> None:
    # Heavy to import; a wrong argument is answered before.
    from runner.confinement import report
    from runner.pool import Pool, start_ray, stop_ray
    from runner.recovery import keep_recovering
    from runner.repertoire import repertoire
    from runner.service import Runner

    settings.spool.mkdir(parents=True, exist_ok=True)
    start_ray(settings)
    try:
        pool = Pool(settings)
        known, _, _ = await asyncio.gather(
            asyncio.to_thread(repertoire, settings.menagerie_root, settings.policy_servers),
            pool.warm(),
            asyncio.to_thread(report),
        )
        runner = Runner(settings, pool, known)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, runner.stop)
        logging.info("runner %s is ready", runner.instance)
        recovering = asyncio.create_task(keep_recovering(settings, runner.instance, runner.enter))
        try:
            await runner.run()
        finally:
            recovering.cancel()
    except RayLost as error:
        logging.error("%s; this instance ends, and the next one starts another Ray", error)
        _end_at_once(settings)
    finally:
        stop_ray()


def _end_at_once(settings: Settings) -> NoReturn:
    """End without taking leave of Ray, which would wait for what is gone; what was started ends with this process."""
    if settings.ray_folder is not None:
        shutil.rmtree(settings.ray_folder, ignore_errors=True)
    logging.shutdown()
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
