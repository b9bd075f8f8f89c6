"""What a figure was measured on."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("numpy", "mujoco", "grpcio", "protobuf", "ray", "pyarrow", "fastapi")


def machine() -> dict[str, object]:
    """Return processor, cores, load and versions."""
    return {
        "processor": _processor(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "load_1min": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
    }


def versions() -> dict[str, str]:
    """Return the versions of what the figures depend on."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
        return names[0] if names else platform.processor()
    except OSError:
        return platform.processor()
