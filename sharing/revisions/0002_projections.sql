-- Which projections were made, for whom: who a leaked file may have come from is asked here, also after the agreement.
CREATE TABLE projection (
  key TEXT PRIMARY KEY, agreement TEXT NOT NULL, provider TEXT NOT NULL, consumer TEXT NOT NULL,
  data_set TEXT NOT NULL, version INTEGER NOT NULL, made_s INTEGER NOT NULL, dropped_s INTEGER
) STRICT;
CREATE INDEX projection_by_provider ON projection (provider, agreement);
CREATE INDEX projection_by_agreement ON projection (agreement);
