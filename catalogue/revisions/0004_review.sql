-- Who looks at an episode of the review queue, and until when: the queue itself is the label review = open.
CREATE TABLE review_claim (
  episode INTEGER PRIMARY KEY REFERENCES episode, vendor TEXT NOT NULL, holder TEXT NOT NULL, end_ns INTEGER NOT NULL
) STRICT;
CREATE INDEX review_claim_by_holder ON review_claim (vendor, holder);

-- What a person has said of an episode: the fields that are not NULL, faults and subtasks as JSON lists. rule_method
-- and rule_faults: what the rules said then, so that the two can be held against each other.
CREATE TABLE review_answer (
  id INTEGER PRIMARY KEY, episode INTEGER NOT NULL REFERENCES episode, vendor TEXT NOT NULL, author TEXT NOT NULL,
  reviewer TEXT NOT NULL, set_ns INTEGER NOT NULL, verdict TEXT, outcome TEXT, failure_cause TEXT, grade TEXT,
  faults TEXT, subtasks TEXT, note TEXT NOT NULL, rule_method TEXT NOT NULL, rule_faults TEXT NOT NULL
) STRICT;
CREATE INDEX review_answer_by_episode ON review_answer (episode, id);
CREATE INDEX review_answer_by_vendor ON review_answer (vendor, id);

-- An answer is for ever, whoever writes into this file; a later one counts instead. It goes with its episode alone.
CREATE TRIGGER answer_stays BEFORE UPDATE ON review_answer
BEGIN SELECT raise(ABORT, 'an answer never changes'); END;
CREATE TRIGGER answer_remains BEFORE DELETE ON review_answer
WHEN EXISTS (SELECT 1 FROM episode WHERE id = old.episode AND vendor <> '')
BEGIN SELECT raise(ABORT, 'an answer never changes'); END;
