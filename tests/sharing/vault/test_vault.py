"""What lies on the disk opens with its owner's key alone, whole and in its place, and never again once that is gone."""

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sharing.audit.key import ExposedKey
from sharing.errors import NotShared
from sharing.vault.keys import Keys
from sharing.vault.vault import HEAD_BYTES, TAG_BYTES, DamagedObject, Vault

FRAME = 64
OWNER, RIVAL = "vendors/aurora", "vendors/borealis"


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "keys", frame_bytes=FRAME)


def sealed(vault: Vault, folder: Path, content: bytes, owner: str = OWNER, name: str = "a") -> Path:
    (folder / "plain").write_bytes(content)
    vault.seal(owner, folder / "plain", folder / name)
    return folder / name


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=5 * FRAME), begin=st.integers(0, 6 * FRAME), size=st.integers(0, 6 * FRAME))
def test_any_range_is_that_of_what_was_sealed(
    vault: Vault, tmp_path: Path, content: bytes, begin: int, size: int
) -> None:
    path = sealed(vault, tmp_path, content)

    assert vault.read(OWNER, path, begin, size) == content[begin : begin + size]
    assert len(content) < 16 or content not in path.read_bytes()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a", "keys", "keys.db", "plain"]


def test_another_owner_and_a_vault_with_other_keys_open_nothing(vault: Vault, tmp_path: Path) -> None:
    path = sealed(vault, tmp_path, b"x" * 100)
    sealed(vault, tmp_path, b"y" * 100, RIVAL, "b")

    with pytest.raises(DamagedObject):
        vault.read(RIVAL, path, 0, 100)
    with pytest.raises(NotShared):
        Vault(tmp_path / "other").read(OWNER, path, 0, 100)
    assert Vault(tmp_path / "keys").read(OWNER, path, 0, 100) == b"x" * 100


def test_a_byte_changed_anywhere_is_refused(vault: Vault, tmp_path: Path) -> None:
    path = sealed(vault, tmp_path, bytes(range(150)))
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(DamagedObject):
            vault.read(OWNER, path, 0, 150)


def test_what_was_cut_or_put_elsewhere_is_refused(vault: Vault, tmp_path: Path) -> None:
    """Frames of one file, or of another file of the same owner and size, and ends that are missing."""
    path, other = sealed(vault, tmp_path, b"x" * 3 * FRAME), sealed(vault, tmp_path, b"y" * 3 * FRAME, name="b")
    whole, foreign, step = path.read_bytes(), other.read_bytes(), FRAME + TAG_BYTES
    head, frames = whole[:HEAD_BYTES], [whole[HEAD_BYTES + n * step :][:step] for n in range(3)]
    for changed in (
        head + frames[1] + frames[0] + frames[2],
        head + frames[0] + foreign[HEAD_BYTES + step :],
        foreign[:HEAD_BYTES] + b"".join(frames),
        head + frames[0] + frames[1],
        whole + frames[2],
        whole[:20],
        b"",
    ):
        path.write_bytes(changed)
        with pytest.raises(DamagedObject):
            vault.read(OWNER, path, 0, 3 * FRAME)


def test_keys_that_others_can_look_at_are_not_used(vault: Vault, tmp_path: Path) -> None:
    (tmp_path / "keys").chmod(0o755)

    with pytest.raises(ExposedKey):
        Vault(tmp_path / "keys")


def test_of_a_file_that_is_not_there_nothing_appears(vault: Vault, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        vault.seal(OWNER, tmp_path / "missing", tmp_path / "a")

    assert not [each for each in tmp_path.iterdir() if each.stem != "keys"]


def test_an_owner_whose_key_is_gone_never_gets_another(vault: Vault, tmp_path: Path) -> None:
    """Nor one for whom nothing had been sealed yet."""
    (tmp_path / "plain").write_bytes(b"x")
    for owner in (OWNER, RIVAL):
        if owner == OWNER:
            vault.seal(owner, tmp_path / "plain", tmp_path / "a")
        vault.shred(owner)
        vault.shred(owner)
        for one in (vault, Vault(tmp_path / "keys")):
            with pytest.raises(NotShared):
                one.seal(owner, tmp_path / "plain", tmp_path / "b")
    assert not list((tmp_path / "keys").glob("*.half")) and not (tmp_path / "b").exists()


def test_a_key_half_written_is_none(tmp_path: Path) -> None:
    """Ended in the middle of making it, the next one is made as if nothing had been."""
    keys = Keys(tmp_path / "keys", tmp_path / "keys.db")
    place = keys._keys._place(OWNER)
    place.with_suffix(".part").write_bytes(b"half")
    # Ended after the file and before the other half was kept: what is there is half of nothing.
    place.write_bytes(bytes(32))
    with pytest.raises(NotShared):
        keys.of(OWNER)

    keys.of(OWNER, make=True)

    assert len(place.read_bytes()) == 32 and place.read_bytes() != bytes(32)
    assert not place.with_suffix(".part").exists()


def test_neither_half_of_a_key_is_any_good_alone(vault: Vault, tmp_path: Path) -> None:
    """Each is put back from a backup that was made before the key was destroyed, and then both."""
    path = sealed(vault, tmp_path, b"x" * 100)
    shutil.copytree(tmp_path / "keys", tmp_path / "backup")
    shutil.copy(tmp_path / "keys.db", tmp_path / "backup.db")
    vault.shred(OWNER)

    for folder, book in (("backup", "keys.db"), ("keys", "backup.db")):
        with pytest.raises(NotShared):
            Vault(tmp_path / folder, tmp_path / book).read(OWNER, path, 0, 100)
    assert Vault(tmp_path / "backup").read(OWNER, path, 0, 100) == b"x" * 100
