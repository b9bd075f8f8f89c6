-- Credentials of Delta Sharing clients. The secret itself is nowhere: its SHA-256 is, and what it is good for.
CREATE TABLE recipient (
  id TEXT PRIMARY KEY, sha256 TEXT NOT NULL UNIQUE, consumer TEXT NOT NULL, purpose TEXT NOT NULL,
  issued_s INTEGER NOT NULL, expires_s INTEGER NOT NULL, revoked_s INTEGER, follows TEXT REFERENCES recipient
) STRICT;
CREATE INDEX recipient_by_consumer ON recipient (consumer, issued_s, id);

-- What it opens: an agreement under names that the consumer chose; compared in small letters.
CREATE TABLE recipient_schema (
  recipient TEXT NOT NULL REFERENCES recipient, share TEXT NOT NULL, schema TEXT NOT NULL,
  agreement TEXT NOT NULL REFERENCES agreement, PRIMARY KEY (recipient, share, schema)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER recipient_stays BEFORE UPDATE OF id, sha256, consumer, purpose, issued_s ON recipient
BEGIN SELECT raise(ABORT, 'whose a credential is never changes'); END;
CREATE TRIGGER recipient_ends BEFORE UPDATE OF expires_s ON recipient WHEN NEW.expires_s > OLD.expires_s
BEGIN SELECT raise(ABORT, 'a credential is never prolonged'); END;
CREATE TRIGGER recipient_is_over BEFORE UPDATE OF revoked_s ON recipient WHEN OLD.revoked_s IS NOT NULL
BEGIN SELECT raise(ABORT, 'what was revoked stays revoked'); END;
CREATE TRIGGER recipient_opens BEFORE UPDATE ON recipient_schema
BEGIN SELECT raise(ABORT, 'what a credential opens never changes'); END;
