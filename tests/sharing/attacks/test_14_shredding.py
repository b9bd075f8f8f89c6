"""Attack 14: what was shredded is brought back from a backup of the files, of the database, of everything but keys."""

import shutil
from pathlib import Path

import pytest

from sharing.errors import NotShared
from sharing.vault.vault import Vault

AGREEMENT = "a" * 64
SECRET = b"the torque of the third joint " * 40


def restored(folder: Path, vault: Vault, *, with_keys: bool) -> bytes:
    """Back up, shred, restore, and read with a new process's vault."""
    (folder / "plain").write_bytes(SECRET)
    (folder / "objects").mkdir()
    vault.seal(AGREEMENT, folder / "plain", folder / "objects" / "episode")
    shutil.copytree(folder / "objects", folder / "backup")
    shutil.copytree(folder / "keys", folder / "backup of keys")
    vault.shred(AGREEMENT)
    shutil.rmtree(folder / "objects")
    shutil.copytree(folder / "backup", folder / "objects")
    if with_keys:
        shutil.rmtree(folder / "keys")
        shutil.copytree(folder / "backup of keys", folder / "keys")
    return Vault(folder / "keys").read(AGREEMENT, folder / "objects" / "episode", 0, len(SECRET))


def test_what_was_shredded_does_not_come_back_with_a_backup_of_the_files(tmp_path: Path) -> None:
    with pytest.raises(NotShared):
        restored(tmp_path, Vault(tmp_path / "keys"), with_keys=False)

    assert all(SECRET[:16] not in path.read_bytes() for path in (tmp_path / "backup").iterdir())


def test_with_the_keys_backed_up_it_would(tmp_path: Path) -> None:
    """Why the folder of keys belongs into no backup that outlives an agreement; and that the test above can fail."""
    assert restored(tmp_path, Vault(tmp_path / "keys"), with_keys=True) == SECRET
