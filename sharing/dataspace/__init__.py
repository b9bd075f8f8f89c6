"""Other data spaces' way in: part of the Dataspace Protocol (2025-1), over the same negotiations and gate."""
