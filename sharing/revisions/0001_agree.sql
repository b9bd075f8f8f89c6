-- Agreements: what was signed. A row's document never changes; the columns below it say how it stands.
CREATE TABLE agreement (
  digest TEXT PRIMARY KEY, provider TEXT NOT NULL, consumer TEXT NOT NULL, data_set TEXT NOT NULL,
  document TEXT NOT NULL, agreed_s INTEGER NOT NULL, negotiation TEXT NOT NULL,
  epoch INTEGER NOT NULL DEFAULT 1, revoked_s INTEGER, revoked_by TEXT, reason TEXT, collected_s INTEGER
) STRICT;
CREATE INDEX agreement_by_provider ON agreement (provider, agreed_s, digest);
CREATE INDEX agreement_by_consumer ON agreement (consumer, agreed_s, digest);

-- Public keys, each registered by its vendor's own token. A retired one signs nothing new.
CREATE TABLE vendor_key (
  public_key TEXT PRIMARY KEY, vendor TEXT NOT NULL, registered_s INTEGER NOT NULL, retired_s INTEGER
) STRICT;
CREATE INDEX vendor_key_by_vendor ON vendor_key (vendor, registered_s);

-- Who gets nothing at present, by the house's word.
CREATE TABLE suspension (
  vendor TEXT PRIMARY KEY, since_s INTEGER NOT NULL, by_whom TEXT NOT NULL, reason TEXT NOT NULL
) STRICT;

-- Columns that their vendor classed more strictly than this room does.
CREATE TABLE column_class (
  vendor TEXT NOT NULL, name TEXT NOT NULL, class TEXT NOT NULL, set_s INTEGER NOT NULL, PRIMARY KEY (vendor, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE negotiation (
  id TEXT PRIMARY KEY, provider TEXT NOT NULL, consumer TEXT NOT NULL, state TEXT NOT NULL, turn TEXT NOT NULL,
  sequence INTEGER NOT NULL, last TEXT NOT NULL, terms TEXT NOT NULL, digest TEXT NOT NULL,
  consumer_pid TEXT NOT NULL DEFAULT '',
  provider_key TEXT, provider_signature TEXT, consumer_key TEXT, consumer_signature TEXT,
  created_s INTEGER NOT NULL, changed_s INTEGER NOT NULL
) STRICT;
CREATE INDEX negotiation_by_provider ON negotiation (provider, changed_s, id);
CREATE INDEX negotiation_by_consumer ON negotiation (consumer, changed_s, id);

-- Every step as it was signed.
CREATE TABLE step (
  negotiation TEXT NOT NULL REFERENCES negotiation, sequence INTEGER NOT NULL, digest TEXT NOT NULL UNIQUE,
  document TEXT NOT NULL, public_key TEXT NOT NULL, signature TEXT NOT NULL, at_s INTEGER NOT NULL,
  PRIMARY KEY (negotiation, sequence)
) STRICT;

-- Transfers asked for by other data spaces.
CREATE TABLE transfer (
  id TEXT PRIMARY KEY, agreement TEXT NOT NULL REFERENCES agreement, consumer TEXT NOT NULL, provider TEXT NOT NULL,
  consumer_pid TEXT NOT NULL, format TEXT NOT NULL, purpose TEXT NOT NULL, state TEXT NOT NULL,
  suspended_by TEXT NOT NULL DEFAULT '', created_s INTEGER NOT NULL, changed_s INTEGER NOT NULL,
  UNIQUE (consumer, consumer_pid)
) STRICT;

-- What was signed stays, whoever writes into this file; what has ended does not begin again; epochs grow.
CREATE TRIGGER agreement_stays BEFORE UPDATE OF digest, provider, consumer, data_set, document, agreed_s ON agreement
BEGIN SELECT raise(ABORT, 'an agreement never changes'); END;
CREATE TRIGGER agreement_remains BEFORE DELETE ON agreement
BEGIN SELECT raise(ABORT, 'an agreement never goes'); END;
CREATE TRIGGER revoked_stays BEFORE UPDATE OF revoked_s ON agreement WHEN OLD.revoked_s IS NOT NULL
BEGIN SELECT raise(ABORT, 'what was revoked stays revoked'); END;
CREATE TRIGGER epoch_grows BEFORE UPDATE OF epoch ON agreement WHEN NEW.epoch <= OLD.epoch
BEGIN SELECT raise(ABORT, 'an epoch only grows'); END;
CREATE TRIGGER step_stays BEFORE UPDATE ON step BEGIN SELECT raise(ABORT, 'a step never changes'); END;
CREATE TRIGGER step_remains BEFORE DELETE ON step BEGIN SELECT raise(ABORT, 'a step never goes'); END;
