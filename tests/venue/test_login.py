"""Login files: what the SDK reads, and nobody else."""

from pathlib import Path

from palaestra import login
from venue.login import write_logins


def test_login_files_are_private_and_read_by_the_sdk(tmp_path: Path) -> None:
    (tmp_path / "tokens").mkdir()
    for name in ("operator", "vendor-acme"):
        (tmp_path / "tokens" / f"{name}.token").write_text(f"{name}'s secret\n")

    write_logins(tmp_path, ["acme"], "127.0.0.1:7400", "http://127.0.0.1:7480")
    # Again, as at the next start.
    write_logins(tmp_path, ["acme"], "127.0.0.1:7400", "http://127.0.0.1:7480", sharing_url="http://127.0.0.1:7490")

    folder = tmp_path / "logins"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in folder.iterdir()) == ["acme.toml", "operator.toml"]
    for path in folder.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
        assert not login.is_exposed(path)
    acme = login.parse((folder / "acme.toml").read_text(), "acme")
    assert (acme.address, acme.token) == ("127.0.0.1:7400", "vendor-acme's secret")
    assert (acme.role, acme.vendor) == ("vendor", "vendors/acme")
    assert acme.api_url == "http://127.0.0.1:7480"
    assert acme.sharing_url == "http://127.0.0.1:7490"
