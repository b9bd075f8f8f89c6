-- What a transaction has changed and the audit has not noted yet: leaves that come into the tree next, in order. Personal
-- values stand here as in audit_opening. No number is given twice: who owes is known by it.
CREATE TABLE audit_owed (id INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL, openings TEXT NOT NULL) STRICT;
