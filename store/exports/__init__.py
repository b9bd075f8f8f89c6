"""Exports beside LeRobot's (`store.lerobot`): plain Parquet and MCAP, each described by Croissant and signed.

write_parquet(objects, digests, out, key=key)
write_mcap(objects, digests, out, key=key)
check_folder(out, public_key=...)
"""

from store.exports.manifest import check_folder, new_key, sign_folder
from store.exports.mcap_file import write_mcap
from store.exports.parquet import write_parquet

__all__ = ["check_folder", "new_key", "sign_folder", "write_mcap", "write_parquet"]
