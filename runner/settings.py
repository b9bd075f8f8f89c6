"""Settings of the runner process, read once in `__main__` and passed on as a value."""

from dataclasses import dataclass, field
from pathlib import Path

from palaestra.tls_files import TlsFiles


@dataclass(frozen=True)
class Settings:
    """All that runner and workers need to know.

    Attributes:
        runner: Name within the venue.
        scheduler: Address, "127.0.0.1:port".
        token: Of role runner.
        tls: Certificates towards the scheduler.
        drive_tls: Certificates towards unit hosts beyond loopback.
        slots_listen: Address and port on which worlds are served to those from elsewhere; empty: on loopback alone.
        slots_name: By which those from elsewhere know this machine.
        slots_cert, slots_key: What is shown to them.
        policy_servers: Where served policies are called, "host:port" or "host:*"; nowhere by default.
        objects, spool: Folders of the store, on one file system.
        objects_at: Where the objects are if not in their folder, `s3://bucket/prefix`; the folder then holds copies.
        copies_bytes: Most that those copies may be; None: no bound.
        sim_slots: Cores that may be leased for worlds.
        warm_workers: Worker processes kept ready, so that a granted attempt starts at once.
        ray_address: Of a running Ray cluster; empty starts one here.
        ray_cpus: Given to a Ray that is started here.
        ray_folder: Where a Ray that is started here keeps its sockets; must be a short path (107 bytes for a socket).
        menagerie_root: A MuJoCo Menagerie checkout, if there is one.
    """

    runner: str
    scheduler: str
    token: str = field(repr=False)
    objects: Path
    spool: Path
    sim_slots: int = 2
    warm_workers: int = 3
    ray_address: str = ""
    ray_cpus: int = 2
    ray_folder: Path | None = None
    menagerie_root: Path | None = None
    tls: TlsFiles = field(default_factory=TlsFiles)
    drive_tls: TlsFiles = field(default_factory=TlsFiles)
    slots_listen: str = ""
    slots_name: str = ""
    slots_cert: Path | None = None
    slots_key: Path | None = None
    policy_servers: tuple[str, ...] = ()
    objects_at: str = ""
    copies_bytes: int | None = None
