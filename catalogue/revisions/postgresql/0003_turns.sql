-- Who may write: the scheduler that leads, by the name of its process; '' as long as none has said so.
CREATE TABLE leader (one INTEGER PRIMARY KEY CHECK (one = 1), instance TEXT NOT NULL, epoch INTEGER NOT NULL) STRICT;
INSERT INTO leader VALUES (1, '', 0);

-- Versions that are being filled, a portion at a time: nobody sees them, and what dies on the way is cleared away.
-- Whoever clears away asks for the check at the end: its version goes first, and its mark last.
CREATE TABLE open_version (version INTEGER PRIMARY KEY REFERENCES dataset_version DEFERRABLE) STRICT;
DROP TRIGGER version_remains;
CREATE TRIGGER version_remains BEFORE DELETE ON dataset_version
WHEN NOT EXISTS (SELECT 1 FROM open_version WHERE version = old.id)
BEGIN SELECT raise(ABORT, 'a version never changes'); END;
DROP TRIGGER content_remains;
CREATE TRIGGER content_remains BEFORE DELETE ON dataset_episode
WHEN NOT EXISTS (SELECT 1 FROM open_version WHERE version = old.version)
BEGIN SELECT raise(ABORT, 'a version never changes'); END;
-- Nor does anything come to it later.
CREATE TRIGGER content_is_whole BEFORE INSERT ON dataset_episode
WHEN NOT EXISTS (SELECT 1 FROM open_version WHERE version = new.version)
BEGIN SELECT raise(ABORT, 'a version never changes'); END;

-- The kind of episodes that the scheduler knows no more: no search finds it.
INSERT OR IGNORE INTO task (text) VALUES ('');
INSERT INTO kind SELECT 0, '', '', '', '', 0, id, 0, -1 FROM task WHERE text = '';
