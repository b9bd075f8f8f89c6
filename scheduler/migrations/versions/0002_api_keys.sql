-- API keys. vendor: 'venue' for the house's own. digest: of the secret (see keys.py); former_digest: of the one before the
-- last rotation, which opens until former_expire_ns; no bytes, which no digest equals, if there is none.
CREATE TABLE api_key (
  id INTEGER PRIMARY KEY, uid TEXT NOT NULL UNIQUE, vendor TEXT NOT NULL REFERENCES vendor, role TEXT NOT NULL,
  display_name TEXT NOT NULL, methods TEXT NOT NULL, projects TEXT NOT NULL, creator TEXT NOT NULL,
  digest BLOB NOT NULL, former_digest BLOB NOT NULL DEFAULT x'', former_expire_ns INTEGER NOT NULL DEFAULT 0,
  create_ns INTEGER NOT NULL, expire_ns INTEGER, rotate_ns INTEGER, use_ns INTEGER, revoke_ns INTEGER
) STRICT;
CREATE INDEX api_key_by_vendor ON api_key (vendor, id);
