"""Generate the Python stubs of the contract: `python proto/generate.py`.

`python proto/generate.py release` remembers the contract as released: from then on buf checks that nothing breaks
the clients of that release.

The proto package equals the Python package, so protoc's absolute imports are right as they are. The files are checked
in; a test regenerates them and wants no difference.
"""

import sys
import tempfile
from pathlib import Path

import grpc_tools
from google.protobuf import descriptor_pb2
from google.rpc import code_pb2
from grpc_tools import protoc

PROTO = Path(__file__).parent
OUT = PROTO.parent / "client" / "src"


def includes() -> list[str]:
    """Return protoc's include arguments: ours, Google's common types, and the well-known types."""
    common = Path(code_pb2.__file__).parents[2]
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    return [f"-I{PROTO}", f"-I{common}", f"-I{well_known}"]


def sources() -> list[str]:
    """Return our proto files in a fixed order."""
    return sorted(str(path) for path in (PROTO / "palaestra" / "v1").glob("*.proto"))


def generate(out: Path) -> None:
    """Write `palaestra/v1/*_pb2.py`, `*_pb2.pyi` and `*_pb2_grpc.py` below `out`. Raises SystemExit if protoc fails."""
    (out / "palaestra" / "v1").mkdir(parents=True, exist_ok=True)
    targets = [f"--python_out={out}", f"--pyi_out={out}", f"--grpc_python_out={out}"]
    if protoc.main(["protoc", *includes(), *targets, *sources()]) != 0:
        raise SystemExit("protoc failed")
    # protoc writes a service module for every file; only those with a service are of use.
    for path in (out / "palaestra" / "v1").glob("*_pb2_grpc.py"):
        if "Servicer" not in path.read_text():
            path.unlink()


def describe(out: Path) -> None:
    """Write the contract with its imports as one descriptor set, the form that buf checks without a registry."""
    arguments = ["--include_imports", "--include_source_info", f"--descriptor_set_out={out}"]
    if protoc.main(["protoc", *includes(), *arguments, *sources()]) != 0:
        raise SystemExit("protoc failed")


def release() -> None:
    """Write the present contract, without comments, as the one that later ones must be compatible with."""
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "now.binpb"
        describe(image)
        files = descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes())
    for file in files.file:
        file.ClearField("source_code_info")
    (PROTO / "released.binpb").write_bytes(files.SerializeToString(deterministic=True))


if __name__ == "__main__":
    if sys.argv[1:] == ["release"]:
        release()
    else:
        generate(OUT)
