-- What each question cost, before its answer left. Rows never change and never go.
CREATE TABLE privacy_charge (
  id INTEGER PRIMARY KEY, consumer TEXT NOT NULL, provider TEXT NOT NULL, data_set TEXT NOT NULL,
  agreement TEXT NOT NULL, version INTEGER NOT NULL, question TEXT NOT NULL,
  epsilon_millionths INTEGER NOT NULL CHECK (epsilon_millionths > 0),
  delta_trillionths INTEGER NOT NULL CHECK (delta_trillionths >= 0), charged_s INTEGER NOT NULL,
  UNIQUE (consumer, agreement, version, question)
) STRICT;
CREATE INDEX privacy_charge_by_budget ON privacy_charge (consumer, data_set, epsilon_millionths, delta_trillionths);
CREATE INDEX privacy_charge_by_provider ON privacy_charge (provider, data_set);
-- The one answer to a charge: what is asked again gets it again.
CREATE TABLE privacy_answer (
  charge INTEGER PRIMARY KEY REFERENCES privacy_charge, body TEXT NOT NULL, answered_s INTEGER NOT NULL
) STRICT;
CREATE TRIGGER privacy_charge_stays BEFORE UPDATE ON privacy_charge
BEGIN SELECT raise(ABORT, 'a charge never changes'); END;
CREATE TRIGGER privacy_charge_remains BEFORE DELETE ON privacy_charge
BEGIN SELECT raise(ABORT, 'a charge never goes'); END;
CREATE TRIGGER privacy_answer_stays BEFORE UPDATE ON privacy_answer
BEGIN SELECT raise(ABORT, 'an answer never changes'); END;

-- Code that a provider lets visit its data: files by their hash, for whom, and until it takes that back.
CREATE TABLE algorithm (
  provider TEXT NOT NULL, sha256 TEXT NOT NULL, name TEXT NOT NULL, source TEXT NOT NULL, outputs TEXT NOT NULL,
  approved_s INTEGER NOT NULL, withdrawn_s INTEGER, PRIMARY KEY (provider, sha256)
) STRICT;
CREATE TABLE compute_job (
  id TEXT PRIMARY KEY, agreement TEXT NOT NULL, provider TEXT NOT NULL, consumer TEXT NOT NULL, data_set TEXT NOT NULL,
  version INTEGER NOT NULL, purpose TEXT NOT NULL, algorithm TEXT NOT NULL, parameters TEXT NOT NULL,
  state TEXT NOT NULL, reason TEXT NOT NULL, asked_s INTEGER NOT NULL, ended_s INTEGER, lineage TEXT, result BLOB
) STRICT;
CREATE INDEX compute_job_by_consumer ON compute_job (consumer, agreement, asked_s);
CREATE INDEX compute_job_by_provider ON compute_job (provider, asked_s);
