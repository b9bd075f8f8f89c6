"""Compute jobs on a Ray cluster: a head of its own on this machine."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from ray.util import get_node_ip_address

from sharing.compute.cluster import Cluster, OpenCluster, check_private
from sharing.compute.jobs import State
from sharing.settings import parse
from sharing.terms import Purpose
from tests.sharing.compute.visitors import PATIENCE_S, bare, house_of, settled
from tests.sharing.stage import AURORA, BOREALIS
from web.listening import Refused

HEAD = """
import sys, tempfile
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={
    "num_cpus": 1, "include_dashboard": False,
    "object_store_memory": 80 << 20, "temp_dir": sys.argv[1]})
print("head at", cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
"""
# What it saw of its machine: files, sockets, and whose child it is.
LOOKING = bare(
    """    import os
    seen = 0
    for path in ("/etc/passwd", "/proc/1/environ", "/dev/shm"):
        try:
            os.listdir(path) if path == "/dev/shm" else open(path).read()
            seen += 1
        except OSError:
            pass
    import socket
    try:
        socket.create_connection(("127.0.0.1", 1), 0.1)
        seen += 1
    except PermissionError:
        pass
    except OSError:
        seen += 1
    return {}, {"seen": seen, "episodes": len(data)}""",
    "looking",
    metrics=["seen", "episodes"],
)
ENDLESS = bare("    while True:\n        pass", "endless")


@pytest.fixture(scope="module")
def head() -> Iterator[tuple[str, int]]:
    """Start a small Ray that encrypts; yield its address and process id. It ends with its standard input."""
    with (
        tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        certify(Path(folder), get_node_ip_address())
        for name, file in {"SERVER_CERT": "node.crt", "SERVER_KEY": "node.key", "CA_CERT": "ca.crt"}.items():
            patch.setenv(f"RAY_TLS_{name}", str(Path(folder) / file))
        patch.setenv("RAY_USE_TLS", "1")
        # Where Ray notes the cluster's address; else it is a folder that only a machine with another Ray has.
        patch.setenv("RAY_TMPDIR", folder)
        (Path(folder) / "ray").mkdir()
        command = [sys.executable, "-c", HEAD, folder]
        said = Path(folder) / "head.log"
        with (
            open(said, "w") as errors,
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            ) as process,
        ):
            assert process.stdout is not None and process.stdin is not None
            found = next((line.split()[2] for line in process.stdout if line.startswith("head at")), "")
            assert found, f"Ray did not start: {said.read_text()[-2000:]}"
            yield found, process.pid
            process.stdin.close()
            process.wait(120)


def certify(folder: Path, address: str) -> None:
    """Write a node's certificate, for both sides of a connection as Ray wants it, and the authority that signed it."""
    now = datetime.now(UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    authority, node = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("authority", "node"))
    names = [x509.DNSName("localhost"), *(x509.IPAddress(ip_address(each)) for each in ("127.0.0.1", address))]
    for name, key, file, extension in (
        (authority, keys[0], "ca", x509.BasicConstraints(ca=True, path_length=0)),
        (node, keys[1], "node", x509.SubjectAlternativeName(names)),
    ):
        made = x509.CertificateBuilder(authority, name, key.public_key(), x509.random_serial_number())
        made = made.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1))
        signed = made.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints)).sign(
            keys[0], hashes.SHA256()
        )
        (folder / f"{file}.crt").write_bytes(signed.public_bytes(Encoding.PEM))
    (folder / "node.key").write_bytes(
        keys[1].private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    )


@pytest.mark.system
@pytest.mark.timeout(300)
def test_a_visit_on_a_cluster_is_confined_and_ends_as_one_here(head: tuple[str, int], tmp_path: Path) -> None:
    """It sees its episodes and no file or socket; and a revocation ends the process on the node."""
    house, agreement, staged = house_of(tmp_path, run=Cluster(head[0]).run)
    for algorithm in (LOOKING, ENDLESS):
        house.approvals.approve(AURORA, algorithm)
    house.start()

    looked = settled(house, house.submit(BOREALIS, agreement, Purpose.TRAINING, LOOKING.sha256, {}))

    assert looked.state == State.RELEASED, looked.reason
    assert looked.lineage is not None
    assert looked.lineage["metrics"] == {"seen": 0, "episodes": looked.lineage["episodes"]}
    assert looked.lineage["episodes"] > 0

    endless = house.submit(BOREALIS, agreement, Purpose.TRAINING, ENDLESS.sha256, {})
    visitor = awaited_visitor(head[1])
    staged.room.register.revoke(agreement, AURORA, "enough")
    assert (settled(house, endless).state, settled(house, endless).reason) == (State.ENDED, "no longer shared")
    due_s = time.monotonic() + PATIENCE_S
    while Path(f"/proc/{visitor}").exists():
        assert time.monotonic() < due_s, "it goes on"
        time.sleep(0.1)
    house.stop()
    staged.close()


def awaited_visitor(head: int) -> int:
    """Return the process id of a visit under way somewhere below the head, which is below this process."""
    due_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < due_s:
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if (folder / "cmdline").read_bytes().endswith(b"sharing.compute.worker\0") and head in _above(folder):
                    return int(folder.name)
            except OSError:
                continue
        time.sleep(0.1)
    raise AssertionError("nothing visits")


def _above(folder: Path) -> list[int]:
    """Return a process's parents, the nearest first."""
    found = []
    number = int(folder.name)
    while number > 1:
        number = int(Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[1])
        found.append(number)
    return found


def test_a_cluster_of_other_machines_has_to_encrypt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is shared never crosses a network in clear text; the command line is refused before anything starts."""
    with pytest.raises(OpenCluster, match="RAY_USE_TLS"):
        check_private("192.0.2.7:6379", {})
    check_private("192.0.2.7:6379", {"RAY_USE_TLS": "1"})
    check_private("127.0.0.1:6379", {})
    monkeypatch.delenv("RAY_USE_TLS", raising=False)
    needed = [option for name in ("folder", "catalogue", "objects") for option in (f"--{name}", str(tmp_path))]
    with pytest.raises(Refused, match="--cluster"):
        parse([*needed, "--cluster", "192.0.2.7:6379"])
    assert parse([*needed, "--cluster", "127.0.0.1:6379"]).cluster == "127.0.0.1:6379"
