-- Episodes whose content was removed for good, by whom and why. The row in `episode` stays, for versions and counts name
-- it; no search finds it, and what the scheduler tells of it again does not bring it back.
CREATE TABLE removal (
  uid TEXT PRIMARY KEY, vendor TEXT NOT NULL, sha256 TEXT NOT NULL, size_bytes INTEGER NOT NULL,
  remove_ns INTEGER NOT NULL, why TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX removal_by_vendor ON removal (vendor, remove_ns);

-- What is being made a version of when it goes, goes not: either the version has it, or the removal was first.
CREATE TRIGGER content_is_kept BEFORE INSERT ON dataset_episode
WHEN EXISTS (SELECT 1 FROM removal r JOIN episode e ON e.uid = r.uid WHERE e.id = new.episode)
BEGIN SELECT raise(ABORT, 'the episode was removed'); END;
