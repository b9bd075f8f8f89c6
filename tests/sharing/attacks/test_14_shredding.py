"""Attack 14: what was shredded is brought back from a backup of the files, of the database, of half of the keys.

Both what the room made for a consumer, under the agreement's key, and what a vendor recorded, under the vendor's.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sharing.errors import NotReleasable, NotShared
from sharing.projection.tables import JOINTS
from sharing.vault.vault import Vault
from store import open_objects
from store.encrypted import begin_encryption
from store.errors import KeyDestroyed
from tests.sharing.projection.ground import Ground, grant

AGREEMENT = "a" * 64
ACME = "vendors/acme"
SECRET = b"the torque of the third joint " * 40
Bring = Callable[..., None]


@pytest.fixture
def bring_back(tmp_path: Path) -> Iterator[Bring]:
    """Put back, from what was there before, what is named."""
    shutil.copytree(tmp_path, before := tmp_path.with_name(tmp_path.name + "-before"), dirs_exist_ok=True)
    for name in ("keys", "keys.db", "objects"):
        assert not (tmp_path / name).exists()

    def bring(*names: str, backup: bool = False) -> None:
        if backup:
            shutil.copytree(tmp_path, before, dirs_exist_ok=True)
            return
        for name in names:
            target = tmp_path / name
            shutil.rmtree(target, ignore_errors=True) if target.is_dir() else target.unlink(missing_ok=True)
            (shutil.copytree if (before / name).is_dir() else shutil.copy)(before / name, target)

    yield bring
    shutil.rmtree(before)


ALL_BUT = (("objects",), ("objects", "keys"), ("objects", "keys.db"))


def test_what_was_made_for_a_consumer_does_not_come_back_with_half_a_backup(tmp_path: Path, bring_back: Bring) -> None:
    """Nor with the files, the folder of keys, or the file of the other halves; with all of it, the mutant, it would."""
    (tmp_path / "objects").mkdir()
    (tmp_path / "plain").write_bytes(SECRET)
    vault = Vault(tmp_path / "keys")
    vault.seal(AGREEMENT, tmp_path / "plain", tmp_path / "objects" / "episode")
    (tmp_path / "plain").unlink()
    bring_back(backup=True)
    vault.shred(AGREEMENT)

    for names in ALL_BUT:
        bring_back(*names)
        with pytest.raises(NotShared):
            Vault(tmp_path / "keys").read(AGREEMENT, tmp_path / "objects" / "episode", 0, len(SECRET))
        Vault(tmp_path / "keys").shred(AGREEMENT)
    bring_back("objects", "keys", "keys.db")
    assert Vault(tmp_path / "keys").read(AGREEMENT, tmp_path / "objects" / "episode", 0, len(SECRET)) == SECRET


def test_what_a_vendor_recorded_does_not_come_back_with_half_a_backup(tmp_path: Path, bring_back: Bring) -> None:
    """Recordings under the vendor's key: projected while it is there, and by nobody any more once it is not."""
    (tmp_path / "objects").mkdir()
    ground = Ground(tmp_path)
    ground.objects = begin_encryption(tmp_path / "objects", tmp_path / "keys")
    ground.record(1, rows=50)
    ground.record(2, rows=50, vendor="vendors/bolt")
    ground.freeze([1])
    mine, other = (sealed.sha256 for sealed in ground.sealed)
    assert len(ground.projector().project(grant()).tables[JOINTS]) == 1
    assert not [path for path in (tmp_path / "objects").rglob("*") if path.is_file() and b"PAR1" in path.read_bytes()]
    bring_back(backup=True)
    ground.objects.shred(ACME)

    for names in ALL_BUT:
        bring_back(*names)
        objects = begin_encryption(tmp_path / "objects", tmp_path / "keys")
        with pytest.raises(KeyDestroyed):
            objects.read(mine, 0, 1)
        assert objects.verify(other).sha256 == other
        objects.shred(ACME)
    with pytest.raises(NotReleasable, match="its key was destroyed"):
        ground.projector("anew").project(grant())
    bring_back("objects", "keys", "keys.db")
    assert open_objects(str(tmp_path / "objects"), tmp_path).verify(mine).sha256 == mine
