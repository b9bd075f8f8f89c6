"""Attack 10: a recording with an encrypted column, whose statistics end whatever process looks at them."""

import base64
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe

from sharing.credits.measure import measure
from store.episode import EFFORT
from tests.sharing.credits.mill import Mill, movement

_ALONE = """
import sys
from pathlib import Path
from sharing.credits.worker import measured
print(measured({"path": sys.argv[1], "sha256": sys.argv[2]}, 10**6))
"""


class _Keys(pe.KmsClient):
    """Wraps nothing."""

    def __init__(self, config: object) -> None:
        super().__init__()

    def wrap_key(self, key_bytes: bytes, master_key_identifier: str) -> bytes:
        """Return the key as it is."""
        return base64.b64encode(key_bytes)

    def unwrap_key(self, wrapped_key: bytes, master_key_identifier: str) -> bytes:
        """Return the key as it is."""
        return base64.b64decode(wrapped_key)


def _encrypted(source: Path, target: Path) -> None:
    """Write an episode anew, with the torques' column encrypted and a footer that all can read."""
    table = pq.read_table(source)
    told = pe.EncryptionConfiguration(
        footer_key="f", column_keys={"c": [f"{EFFORT}.list.element"]}, plaintext_footer=True
    )
    properties = pe.CryptoFactory(_Keys).file_encryption_properties(pe.KmsConnectionConfig(), told)
    with pq.ParquetWriter(target, table.schema, encryption_properties=properties) as writer:
        writer.write_table(table)


def test_who_looks_at_it_dies_and_the_accounts_go_on(tmp_path: Path) -> None:
    mill = Mill(tmp_path, measuring=measure)
    good = mill.record("aurora", movement(1, 5))
    honest = mill.ground.objects.path_of(mill.ground.sealed[-1].sha256)
    bad = tmp_path / "bad.parquet"
    _encrypted(honest, bad)
    poisoned = mill.record("cygnus", movement(2, 5))
    stored = mill.ground.objects.put_file(bad)
    _rewritten(tmp_path / "catalogue.db", poisoned, stored.sha256)
    mill.deliver("cygnus", [poisoned], to="borealis")
    assert mill.earned("aurora", [good]) > 1_000
    assert mill.accounts.ledger.balance("vendors/cygnus") == 0
    # The mutant: looked at by the process itself, it takes that along.
    path = mill.ground.objects.path_of(stored.sha256)
    died = subprocess.run([sys.executable, "-c", _ALONE, str(path), stored.sha256], capture_output=True)
    assert died.returncode == -signal.SIGABRT
    mill.close()


def _rewritten(path: Path, number: int, sha256: str) -> None:
    db = sqlite3.connect(path)
    db.execute("UPDATE episode SET sha256 = ? WHERE uid = ?", (sha256, f"e-{number}"))
    db.commit()
    db.close()
