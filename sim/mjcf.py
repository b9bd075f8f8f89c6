"""The one door through which MJCF from outside enters: checked before MuJoCo sees it.

MuJoCo's own parser follows includes and asset files wherever they point, loads engine plugins and
allocates what a model asks for. A model handed in by a vendor therefore passes four checks first:
its files lie inside one folder, they exist and are small enough, no number is NaN or infinite, and
nothing asks for plugins or for an unreasonable amount of memory.
"""

import math
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import mujoco

from sim.errors import BrokenModel

MAX_XML_BYTES = 16 * 2**20
MAX_ASSET_BYTES = 256 * 2**20
MAX_TOTAL_BYTES = 512 * 2**20
MAX_FILES = 2_000
MAX_COPIES = 20_000
MAX_ARENA_BYTES = 2**30
MAX_USER_NUMBERS = 100_000
MAX_GRID_POINTS = 2**24

# Elements that name files of theirs, and the compiler attributes that may give the folder of these files. Which of
# them holds depends on MuJoCo's order of reading; a file has to be inside by every one of them.
_MESH_FOLDERS = ("meshdir", "assetdir")
_ASSET_FOLDERS = {
    "mesh": _MESH_FOLDERS,
    "hfield": _MESH_FOLDERS,
    "skin": _MESH_FOLDERS,
    "flexcomp": _MESH_FOLDERS,
    "texture": ("texturedir", "assetdir"),
}
_TEXTURE_FILES = ("file", "fileright", "fileleft", "fileup", "filedown", "filefront", "fileback")
_REFUSED = {"plugin": "engine plugins run foreign code", "extension": "engine plugins run foreign code"}
_NOT_FINITE = re.compile(r"(?:^|\s)[+-]?(?:nan|inf(?:inity)?)(?=\s|$)", re.IGNORECASE)
_TEXT_ATTRIBUTES = {"name", "class", "childclass", "file", "prefix", "model"}
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40, "P": 2**50, "E": 2**60}


def load_mjcf(source: Path | str, root: Path) -> mujoco.MjSpec:
    """Parse an MJCF model whose files all lie inside `root`.

    Args:
        source: Path of an XML file inside `root`, or the XML text itself (it starts with `<`);
            the includes and assets of a text are looked up in `root`.
        root: The folder the model may read from.

    Raises:
        BrokenModel: naming the file and the reason: syntax, missing or outside file, size, numbers
            that are not finite, plugins, or what MuJoCo itself refuses.
    """
    root = root.resolve()
    is_text = isinstance(source, str) and source.lstrip().startswith("<")
    scan = _Scan(root)
    if is_text:
        text = str(source)
        scan.model(text.encode(), label="<text>", folder=root)
        scan.check_count()
        try:
            return mujoco.MjSpec.from_string(text, include=scan.includes, assets=scan.contents())
        except ValueError as error:
            raise BrokenModel(f"<text>: {_first_line(error)}") from error
    path = scan.inside(Path(source), label=str(source))
    scan.model_file(path)
    scan.check_count()
    try:
        return mujoco.MjSpec.from_file(str(path))
    except ValueError as error:
        raise BrokenModel(f"{path.name}: {_first_line(error)}") from error


def compile_model(spec: mujoco.MjSpec, *, label: str) -> mujoco.MjModel:
    """Compile a spec. Raises BrokenModel with `label` and MuJoCo's reason when it does not compile."""
    try:
        return spec.compile()
    except (ValueError, mujoco.FatalError) as error:
        raise BrokenModel(f"{label}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


class _Model:
    """A model's document with its includes: MuJoCo looks for all that they name from the folder of the former."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folders: dict[str, list[str]] = {}
        self.assets: list[tuple[str, str]] = []


class _Scan:
    """One pass over a model, its includes and the models it attaches: what it would read, what it would ask for."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._total_bytes = 0
        self._seen: list[Path] = []
        self._asset_paths: dict[str, Path] = {}
        self.includes: dict[str, bytes] = {}

    def inside(self, path: Path, *, label: str) -> Path:
        full = self._inside(path, label=label)
        if not full.is_file():
            raise BrokenModel(f"{label}: file {path} is missing")
        return full

    def _inside(self, path: Path, *, label: str) -> Path:
        full = (path if path.is_absolute() else self._root / path).resolve()
        if not full.is_relative_to(self._root):
            raise BrokenModel(f"{label}: {path} lies outside the model's folder")
        return full

    def model_file(self, path: Path) -> None:
        self.model(self._new(path), label=path.name, folder=path.parent)

    def model(self, data: bytes, *, label: str, folder: Path) -> None:
        model = _Model(folder)
        try:
            self._document(data, model, label=label, root_tags=("mujoco",))
            self._check_assets(model)
        except RecursionError:
            raise BrokenModel(f"{label}: is nested too deeply") from None
        except OSError as error:
            # A name longer than a file's may be, for example. Whose folder it is says nothing to the model's maker.
            raise BrokenModel(f"{label}: {error.strerror}") from error
        except ValueError as error:
            # Numbers of more digits than Python reads.
            raise BrokenModel(f"{label}: {_first_line(error)}") from error

    def _new(self, path: Path) -> bytes:
        if path in self._seen:
            raise BrokenModel(f"{path.name}: included more than once")
        self._seen.append(path)
        return self._read(path, MAX_XML_BYTES)

    def _document(self, data: bytes, model: _Model, *, label: str, root_tags: tuple[str, ...] = ()) -> None:
        if len(data) > MAX_XML_BYTES:
            raise BrokenModel(f"{label}: {len(data)} bytes of XML, at most {MAX_XML_BYTES} are read")
        if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
            raise BrokenModel(f"{label}: document types and entities are not accepted")
        try:
            tree = ET.fromstring(data)
        except ET.ParseError as error:
            raise BrokenModel(f"{label}: XML syntax: {error}") from error
        if root_tags and tree.tag not in root_tags:
            # MuJoCo also reads URDF, whose files are named otherwise.
            raise BrokenModel(f"{label}: <{str(tree.tag)[:50]}> is no MJCF model, which is <mujoco>")
        copies = _copies(tree, label)
        if copies > MAX_COPIES:
            raise BrokenModel(f"{label}: asks for {copies} copies, at most {MAX_COPIES} are made")
        for element in tree.iter():
            self._element(element, model, label=label)

    def _element(self, element: ET.Element, model: _Model, *, label: str) -> None:
        tag = element.tag
        if tag in _REFUSED:
            raise BrokenModel(f"{label}: <{tag}>: {_REFUSED[tag]}")
        for key, value in element.attrib.items():
            if key not in _TEXT_ATTRIBUTES and _NOT_FINITE.search(value):
                raise BrokenModel(f"{label}: <{tag} {key}={value!r}> is not finite")
        if tag == "compiler":
            for key in ("assetdir", "meshdir", "texturedir"):
                if key in element.attrib:
                    model.folders.setdefault(key, []).append(element.attrib[key])
        elif tag == "size":
            _check_size(element, label)
        elif tag in ("include", "model") and "file" in element.attrib:
            name = element.attrib["file"]
            path = self.inside(model.folder / name, label=label)
            if tag == "model":
                self.model_file(path)
            else:
                self._document(self._new(path), model, label=path.name)
            self.includes[name] = path.read_bytes()
        elif tag in _ASSET_FOLDERS:
            _check_grid(element, label)
            for key in _TEXTURE_FILES:
                if key in element.attrib:
                    model.assets.append((tag, element.attrib[key]))

    def _check_assets(self, model: _Model) -> None:
        """Check that every asset is inside the root and small."""
        for tag, name in model.assets:
            folders = [folder for key in _ASSET_FOLDERS[tag] for folder in model.folders.get(key, ())]
            paths = [self._inside(model.folder / folder / name, label=name) for folder in folders or [""]]
            there = [path for path in paths if path.is_file()]
            if not there:
                raise BrokenModel(f"{name}: file {paths[0]} is missing")
            for path in there:
                if path not in self._seen:
                    self._seen.append(path)
                    self._count(path, path.stat().st_size, MAX_ASSET_BYTES)
                self._asset_paths[name] = path

    def check_count(self) -> None:
        if len(self._seen) > MAX_FILES:
            raise BrokenModel(f"{len(self._seen)} files, at most {MAX_FILES} are read")

    def contents(self) -> dict[str, bytes]:
        return {name: path.read_bytes() for name, path in self._asset_paths.items()}

    def _read(self, path: Path, limit: int) -> bytes:
        self._count(path, path.stat().st_size, limit)
        return path.read_bytes()

    def _count(self, path: Path, size: int, limit: int) -> None:
        self._total_bytes += size
        if size > limit or self._total_bytes > MAX_TOTAL_BYTES:
            raise BrokenModel(f"{path.name}: {size} bytes ({self._total_bytes} in all) is too large")


def _copies(tree: ET.Element, label: str) -> int:
    """How many elements the nested replicate and flexcomp counts of a document multiply to, at most."""

    def walk(element: ET.Element, factor: int) -> int:
        if element.tag in ("replicate", "flexcomp") and "count" in element.attrib:
            try:
                for word in element.attrib["count"].split():
                    factor *= max(1, int(word))
            except ValueError as error:
                raise BrokenModel(f"{label}: <{element.tag} count={element.attrib['count']!r}>") from error
        return max([factor, *(walk(child, factor) for child in element)])

    return walk(tree, 1)


def _check_size(element: ET.Element, label: str) -> None:
    for key, value in element.attrib.items():
        match = re.fullmatch(r"(-?\d+)([KMGTPE]?)", value.strip())
        limit = MAX_ARENA_BYTES if key == "memory" else MAX_USER_NUMBERS
        if match is None or int(match[1]) * _UNITS[match[2]] > limit:
            raise BrokenModel(f"{label}: <size {key}={value!r}>: at most {limit}")


def _check_grid(element: ET.Element, label: str) -> None:
    """Height fields and generated textures name their sides; the product is what gets allocated."""
    for sides in (("nrow", "ncol"), ("width", "height")):
        given = [element.attrib[side] for side in sides if side in element.attrib]
        try:
            product = math.prod(int(value) for value in given)
        except ValueError as error:
            raise BrokenModel(f"{label}: <{element.tag}>: {given} are no whole numbers") from error
        if product > MAX_GRID_POINTS:
            raise BrokenModel(f"{label}: <{element.tag}>: a grid of {product} points, at most {MAX_GRID_POINTS}")
