-- For PostgreSQL, which wants a table to be there before another one names it, and has an index of words of its own kind.
CREATE TABLE task (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;
-- By word: `words.vector` of the task's text.
CREATE TABLE task_word (rowid INTEGER PRIMARY KEY REFERENCES task, text TSVECTOR NOT NULL) STRICT;
CREATE INDEX task_by_word ON task_word USING gin (text);

-- As of SQLite's own table of this name, of lists of numbers.
CREATE FUNCTION json_each(list TEXT, OUT key BIGINT, OUT value BIGINT) RETURNS SETOF RECORD LANGUAGE sql IMMUTABLE ROWS 50
  AS 'SELECT o - 1, CAST(v AS BIGINT) FROM json_array_elements_text(list::json) WITH ORDINALITY AS e (v, o)';

-- Like episodes: there are few kinds of many episodes. quality_bin: tenths, from 0 to 9; -1 without a score.
CREATE TABLE kind (
  id INTEGER PRIMARY KEY, vendor TEXT NOT NULL, robot_model TEXT NOT NULL, maker TEXT NOT NULL, scenario TEXT NOT NULL,
  level INTEGER NOT NULL, task INTEGER NOT NULL REFERENCES task, outcome INTEGER NOT NULL, quality_bin INTEGER NOT NULL,
  UNIQUE (vendor, robot_model, maker, scenario, level, task, outcome, quality_bin)
) STRICT;
CREATE INDEX kind_by_task ON kind (task);

CREATE TABLE session (
  id INTEGER PRIMARY KEY, vendor TEXT NOT NULL, name TEXT NOT NULL UNIQUE, job TEXT NOT NULL, robot_model TEXT NOT NULL,
  scenario TEXT NOT NULL, task TEXT NOT NULL, start_ns INTEGER NOT NULL, episode_count INTEGER NOT NULL,
  success_count INTEGER NOT NULL, duration_s REAL NOT NULL, size_bytes INTEGER NOT NULL
) STRICT;
CREATE INDEX session_by_vendor ON session (vendor, id);

-- What is known of all episodes, in a few columns: what a search reads.
CREATE TABLE episode (
  id INTEGER PRIMARY KEY, uid TEXT NOT NULL UNIQUE, vendor TEXT NOT NULL, kind INTEGER NOT NULL REFERENCES kind,
  unit TEXT NOT NULL, job TEXT NOT NULL, session INTEGER NOT NULL REFERENCES session, start_ns INTEGER NOT NULL,
  duration_s REAL NOT NULL, size_bytes INTEGER NOT NULL, sha256 TEXT NOT NULL, quality REAL
) STRICT;
-- Each has all that a search filters by, so that a row that does not fit costs no look into the table.
CREATE INDEX episode_by_time ON episode (start_ns, id, kind, quality);
CREATE INDEX episode_by_vendor ON episode (vendor, start_ns, id, kind, quality);
CREATE INDEX episode_by_kind ON episode (kind, start_ns, id, quality);
CREATE INDEX episode_by_unit ON episode (unit, start_ns, id, kind, quality) WHERE unit <> '';
CREATE INDEX episode_by_job ON episode (job, start_ns, id, kind, quality);

-- The rest of an episode, as the scheduler told it: an encoded palaestra.v1.Episode.
CREATE TABLE body (episode INTEGER PRIMARY KEY REFERENCES episode, body BLOB NOT NULL) STRICT;

CREATE TABLE label (
  episode INTEGER NOT NULL REFERENCES episode, key TEXT NOT NULL, value TEXT NOT NULL, vendor TEXT NOT NULL,
  start_ns INTEGER NOT NULL, set_ns INTEGER NOT NULL, set_by TEXT NOT NULL, PRIMARY KEY (episode, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX label_by_value ON label (vendor, key, value, start_ns, episode);
CREATE INDEX label_by_key ON label (vendor, key, start_ns, episode);

CREATE TABLE score (
  episode INTEGER PRIMARY KEY REFERENCES episode, parts TEXT NOT NULL, method TEXT NOT NULL, set_ns INTEGER NOT NULL,
  set_by TEXT NOT NULL
) STRICT;

CREATE TABLE dataset (
  id INTEGER PRIMARY KEY, vendor TEXT NOT NULL, name TEXT NOT NULL, description TEXT NOT NULL,
  create_ns INTEGER NOT NULL, created_by TEXT NOT NULL, UNIQUE (vendor, name)
) STRICT;

CREATE TABLE dataset_version (
  id INTEGER PRIMARY KEY, dataset INTEGER NOT NULL REFERENCES dataset, number INTEGER NOT NULL,
  description TEXT NOT NULL, create_ns INTEGER NOT NULL, created_by TEXT NOT NULL, episode_count INTEGER NOT NULL,
  duration_s REAL NOT NULL, size_bytes INTEGER NOT NULL, manifest_sha256 TEXT NOT NULL, UNIQUE (dataset, number)
) STRICT;

CREATE TABLE dataset_episode (
  version INTEGER NOT NULL REFERENCES dataset_version, position INTEGER NOT NULL,
  episode INTEGER NOT NULL REFERENCES episode, PRIMARY KEY (version, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX dataset_by_episode ON dataset_episode (episode, version);

CREATE TABLE lineage (
  id INTEGER PRIMARY KEY, version INTEGER NOT NULL REFERENCES dataset_version, source TEXT NOT NULL, step TEXT NOT NULL,
  code_sha256 TEXT NOT NULL, parameters TEXT NOT NULL
) STRICT;
CREATE INDEX lineage_by_version ON lineage (version);

-- A version is for ever, whoever writes here.
CREATE TRIGGER version_stays BEFORE UPDATE ON dataset_version BEGIN SELECT raise(ABORT, 'a version never changes'); END;
CREATE TRIGGER version_remains BEFORE DELETE ON dataset_version BEGIN SELECT raise(ABORT, 'a version never changes'); END;
CREATE TRIGGER content_stays BEFORE UPDATE ON dataset_episode BEGIN SELECT raise(ABORT, 'a version never changes'); END;
CREATE TRIGGER content_remains BEFORE DELETE ON dataset_episode BEGIN SELECT raise(ABORT, 'a version never changes'); END;

-- How far the scheduler's table has been followed: its last row's number and name.
CREATE TABLE followed (one INTEGER PRIMARY KEY CHECK (one = 1), id INTEGER NOT NULL, uid TEXT NOT NULL) STRICT;
INSERT INTO followed VALUES (1, 0, '');
