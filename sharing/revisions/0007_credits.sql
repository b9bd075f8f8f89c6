-- Credits: one row is one posting, with the account that gives and the account that gets. So a posting sums to zero
-- whatever is written, and all accounts together do. `ground` issues; vendors are `vendors/{vendor}`.
-- kind: earned, once for each (agreement, version); paid, likewise; granted by the house, `agreement` is its request.
CREATE TABLE credit_posting (
  id INTEGER PRIMARY KEY, kind TEXT NOT NULL CHECK (kind IN ('earned', 'paid', 'granted')), agreement TEXT NOT NULL,
  version INTEGER NOT NULL, debit TEXT NOT NULL, credit TEXT NOT NULL CHECK (credit <> debit),
  amount_microcredits INTEGER NOT NULL CHECK (amount_microcredits BETWEEN 0 AND 1000000000000000),
  document TEXT NOT NULL, items TEXT NOT NULL, leaf INTEGER NOT NULL UNIQUE, posted_s INTEGER NOT NULL,
  UNIQUE (kind, agreement, version)
) STRICT;
CREATE INDEX credit_by_debit ON credit_posting (debit, id, amount_microcredits);
CREATE INDEX credit_by_credit ON credit_posting (credit, id, amount_microcredits);
CREATE VIEW credit_line AS
  SELECT id AS posting, debit AS account, -amount_microcredits AS amount_microcredits FROM credit_posting
  UNION ALL SELECT id, credit, amount_microcredits FROM credit_posting;

-- What was earned with, once and never again: a recording's hash, and what of it counts against those that come later.
CREATE TABLE credit_recording (
  sha256 TEXT PRIMARY KEY, posting INTEGER NOT NULL REFERENCES credit_posting, vendor TEXT NOT NULL,
  class TEXT NOT NULL, joints INTEGER NOT NULL, novel_ms INTEGER NOT NULL CHECK (novel_ms >= 0)
) STRICT;
CREATE INDEX credit_recording_by_class ON credit_recording (class, vendor, novel_ms);
CREATE INDEX credit_recording_by_joints ON credit_recording (joints);

CREATE TRIGGER credit_posting_stays BEFORE UPDATE ON credit_posting
BEGIN SELECT raise(ABORT, 'a posting never changes'); END;
CREATE TRIGGER credit_posting_remains BEFORE DELETE ON credit_posting
BEGIN SELECT raise(ABORT, 'a posting never goes'); END;
CREATE TRIGGER credit_recording_stays BEFORE UPDATE ON credit_recording
BEGIN SELECT raise(ABORT, 'what was earned with stays'); END;
CREATE TRIGGER credit_recording_remains BEFORE DELETE ON credit_recording
BEGIN SELECT raise(ABORT, 'what was earned with stays'); END;
-- Who has not got it cannot spend it.
CREATE TRIGGER credit_not_overdrawn BEFORE INSERT ON credit_posting
WHEN NEW.debit <> 'ground' AND NEW.amount_microcredits > (
  (SELECT coalesce(sum(amount_microcredits), 0) FROM credit_posting WHERE credit = NEW.debit)
  - (SELECT coalesce(sum(amount_microcredits), 0) FROM credit_posting WHERE debit = NEW.debit))
BEGIN SELECT raise(ABORT, 'overdrawn'); END;
