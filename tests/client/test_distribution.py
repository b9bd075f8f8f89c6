"""What a vendor installs stays light."""

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HEAVY = {"ray", "mujoco", "fastapi", "numpy", "pyarrow", "uvicorn", "matplotlib", "palaestra-server"}


def closure(name: str) -> set[str]:
    """Return the distribution and all that it requires here, without extras."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        current = canonicalize_name(waiting.pop())
        if current in found:
            continue
        found.add(current)
        try:
            requirements = distribution(current).requires or []
        except PackageNotFoundError:
            continue
        for text in requirements:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return found


def imported(statement: str) -> set[str]:
    """Return the modules that are loaded after a statement in a fresh interpreter."""
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.split())


def test_the_client_requires_nothing_of_the_server() -> None:
    found = closure("palaestra")

    assert {"palaestra", "grpcio", "protobuf", "typer", "rich"} <= found
    assert not found & HEAVY


def test_importing_palaestra_loads_nothing_yet() -> None:
    assert not imported("import palaestra") & {"grpc", "google.protobuf", "typer", "rich"}


def test_the_sdk_does_not_load_the_command_line() -> None:
    loaded = imported("import palaestra; palaestra.Client; palaestra.AsyncClient; from palaestra import jobs")

    assert "grpc" in loaded
    assert not loaded & {"typer", "rich", "palaestra.cli"}


def test_the_messages_alone_load_no_client() -> None:
    loaded = imported("from palaestra.v1 import job_pb2")

    assert not loaded & {"grpc", "typer", "palaestra.client", "palaestra.cli"}
