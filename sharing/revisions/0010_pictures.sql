-- Pictures that were made for a consumer, and what their provider said to a sample of them. `content` is the hash of all
-- of them: other pictures are another row, and nobody approved them.
CREATE TABLE picture_review (
  content TEXT PRIMARY KEY, projection TEXT NOT NULL, agreement TEXT NOT NULL, provider TEXT NOT NULL,
  consumer TEXT NOT NULL, data_set TEXT NOT NULL, version INTEGER NOT NULL, pictures TEXT NOT NULL,
  made_s INTEGER NOT NULL, decision TEXT CHECK (decision IN ('approved', 'refused')), decided_by TEXT,
  decided_s INTEGER, reason TEXT,
  CHECK ((decision IS NULL) = (decided_by IS NULL) AND (decision IS NULL) = (decided_s IS NULL))
) STRICT;
CREATE INDEX picture_review_by_projection ON picture_review (projection);
CREATE INDEX picture_review_by_provider ON picture_review (provider, made_s, content);

-- Whoever writes into this file: what was decided, and about what, stays.
CREATE TRIGGER picture_review_decided BEFORE UPDATE ON picture_review WHEN OLD.decision IS NOT NULL
BEGIN SELECT raise(ABORT, 'what was decided of pictures stays'); END;
CREATE TRIGGER picture_review_stays
BEFORE UPDATE OF content, projection, agreement, provider, consumer, data_set, version, pictures, made_s
ON picture_review BEGIN SELECT raise(ABORT, 'what is reviewed never changes'); END;
CREATE TRIGGER picture_review_remains BEFORE DELETE ON picture_review
BEGIN SELECT raise(ABORT, 'a review never goes'); END;
