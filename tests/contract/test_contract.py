"""The contract is linted, compatible with its last release, and its generated code is what the generator makes."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType

from google.protobuf import descriptor_pb2

ROOT = Path(__file__).parents[2]
RELEASED = ROOT / "proto" / "released.binpb"


def buf(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run buf from the virtual environment inside proto/, where its configuration is."""
    command = [str(Path(sys.executable).parent / "buf"), *arguments]
    return subprocess.run(command, cwd=ROOT / "proto", capture_output=True, text=True, check=False)


def test_generating_again_changes_nothing(generator: ModuleType, tmp_path: Path) -> None:
    """Every stub that the generator writes equals the checked-in one, and there are no others."""
    generator.generate(tmp_path)

    fresh = {path.name: path.read_bytes() for path in (tmp_path / "palaestra" / "v1").glob("*_pb2*")}
    kept = {path.name: path.read_bytes() for path in (ROOT / "client/src/palaestra/v1").glob("*_pb2*")}
    assert sorted(fresh) == sorted(kept)
    assert [name for name in fresh if fresh[name] != kept[name]] == []


def test_the_contract_passes_buf_lint(generator: ModuleType, tmp_path: Path) -> None:
    generator.describe(tmp_path / "now.binpb")

    done = buf("lint", str(tmp_path / "now.binpb"), "--config", "buf.yaml")

    assert done.returncode == 0, done.stdout + done.stderr


def test_buf_lint_would_find_a_fault(generator: ModuleType, tmp_path: Path) -> None:
    """The same call on a contract with a badly named field fails, so the test above can."""
    generator.describe(tmp_path / "now.binpb")
    image = descriptor_pb2.FileDescriptorSet.FromString((tmp_path / "now.binpb").read_bytes())
    ours = next(file for file in image.file if file.name == "palaestra/v1/claim.proto")
    ours.message_type[0].field[0].name = "BadName"
    (tmp_path / "bad.binpb").write_bytes(image.SerializeToString())

    done = buf("lint", str(tmp_path / "bad.binpb"), "--config", "buf.yaml")

    assert done.returncode != 0
    assert "BadName" in done.stdout + done.stderr


def test_the_contract_breaks_no_client_of_the_last_release(generator: ModuleType, tmp_path: Path) -> None:
    generator.describe(tmp_path / "now.binpb")

    done = buf("breaking", str(tmp_path / "now.binpb"), "--against", str(RELEASED), "--config", "buf.yaml")

    assert done.returncode == 0, done.stdout + done.stderr


def test_buf_breaking_would_find_a_deleted_field(generator: ModuleType, tmp_path: Path) -> None:
    generator.describe(tmp_path / "now.binpb")
    image = descriptor_pb2.FileDescriptorSet.FromString((tmp_path / "now.binpb").read_bytes())
    ours = next(file for file in image.file if file.name == "palaestra/v1/claim.proto")
    claim = next(message for message in ours.message_type if message.name == "Claim")
    del claim.field[1]
    (tmp_path / "less.binpb").write_bytes(image.SerializeToString())

    done = buf("breaking", str(tmp_path / "less.binpb"), "--against", str(RELEASED), "--config", "buf.yaml")

    assert done.returncode != 0
    assert "sim_slots" in done.stdout + done.stderr
