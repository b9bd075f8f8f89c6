-- What happened: leaves of a Merkle tree, in order, and the roots of its complete subtrees. Nothing here ever changes.
CREATE TABLE audit_leaf (idx INTEGER PRIMARY KEY, body TEXT NOT NULL, hash BLOB NOT NULL) STRICT;
-- Level 0 are the leaves themselves.
CREATE TABLE audit_node (
  level INTEGER NOT NULL, number INTEGER NOT NULL, hash BLOB NOT NULL, PRIMARY KEY (level, number)
) STRICT, WITHOUT ROWID;

-- Whose affair a leaf is; what is nobody's is the house's, under ''.
CREATE TABLE audit_party (vendor TEXT NOT NULL, idx INTEGER NOT NULL, PRIMARY KEY (vendor, idx)) STRICT, WITHOUT ROWID;

-- What leaves say of persons stands in them as a hash with a salt. Salt and value are here, and can be erased.
CREATE TABLE audit_opening (
  idx INTEGER NOT NULL, name TEXT NOT NULL, salt BLOB NOT NULL, value TEXT NOT NULL, PRIMARY KEY (idx, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX audit_opening_by_value ON audit_opening (value);

CREATE TABLE audit_head (size INTEGER PRIMARY KEY, note TEXT NOT NULL, at_s INTEGER NOT NULL) STRICT;

CREATE TRIGGER audit_leaf_stays BEFORE UPDATE ON audit_leaf BEGIN SELECT raise(ABORT, 'a leaf never changes'); END;
CREATE TRIGGER audit_leaf_remains BEFORE DELETE ON audit_leaf BEGIN SELECT raise(ABORT, 'a leaf never goes'); END;
CREATE TRIGGER audit_node_stays BEFORE UPDATE ON audit_node BEGIN SELECT raise(ABORT, 'a node never changes'); END;
CREATE TRIGGER audit_node_remains BEFORE DELETE ON audit_node BEGIN SELECT raise(ABORT, 'a node never goes'); END;
CREATE TRIGGER audit_head_stays BEFORE UPDATE ON audit_head BEGIN SELECT raise(ABORT, 'a head never changes'); END;
CREATE TRIGGER audit_head_remains BEFORE DELETE ON audit_head BEGIN SELECT raise(ABORT, 'a head never goes'); END;
