-- The audit: an entry for each call that changed something, in the chain of whom it concerns, a vendor or 'venue' for the
-- house, and with its place `seq` in the chain of all together. Never changed, only added to.
CREATE TABLE audit (
  seq INTEGER PRIMARY KEY, chain TEXT NOT NULL, chain_seq INTEGER NOT NULL, time_ns INTEGER NOT NULL,
  actor TEXT NOT NULL, role TEXT NOT NULL, method TEXT NOT NULL, resource TEXT NOT NULL, reason TEXT NOT NULL,
  request_sha256 BLOB NOT NULL, hash BLOB NOT NULL, venue_hash BLOB NOT NULL,
  UNIQUE (chain, chain_seq)
) STRICT;
-- Where each chain ends; that of all together under ''.
CREATE TABLE audit_head (chain TEXT PRIMARY KEY, seq INTEGER NOT NULL, hash BLOB NOT NULL) STRICT, WITHOUT ROWID;
