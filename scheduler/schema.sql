-- The truth of a venue. Times are wall clock in ns since the epoch; states are the numbers of the contract's enums.
-- No double grant by schema: the unique indexes `one_lease_per_*` leave no room for a second holder.

CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE venue (
  id TEXT PRIMARY KEY, display_name TEXT NOT NULL, width_m REAL NOT NULL, depth_m REAL NOT NULL,
  -- What has no names, by number.
  seats INTEGER NOT NULL DEFAULT 0, chargers INTEGER NOT NULL DEFAULT 0,
  -- Whether all work on units must have passed in simulation, and the least success rate that counts as passed.
  sim_first INTEGER NOT NULL DEFAULT 0, sim_first_success_min REAL NOT NULL DEFAULT 0.5,
  time_zone TEXT NOT NULL DEFAULT 'UTC'
) STRICT;

CREATE TABLE vendor (id TEXT PRIMARY KEY, display_name TEXT NOT NULL, weight REAL NOT NULL CHECK (weight > 0)) STRICT;

CREATE TABLE unit (
  id TEXT PRIMARY KEY,
  serial TEXT NOT NULL DEFAULT '',
  robot_model TEXT NOT NULL,
  robot_class TEXT NOT NULL DEFAULT '',
  maker TEXT NOT NULL DEFAULT '',
  labels TEXT NOT NULL DEFAULT '{}',
  joint_count INTEGER NOT NULL DEFAULT 0,
  emulated INTEGER NOT NULL DEFAULT 0,
  x_m REAL NOT NULL DEFAULT 0, y_m REAL NOT NULL DEFAULT 0, yaw_rad REAL NOT NULL DEFAULT 0,
  -- The fencing token only grows and lives on the unit, not on the lease.
  epoch INTEGER NOT NULL DEFAULT 0,
  -- Highest epoch that the unit's host has confirmed to be over.
  safe_epoch INTEGER NOT NULL DEFAULT 0,
  host TEXT NOT NULL DEFAULT '', host_instance TEXT NOT NULL DEFAULT '', host_address TEXT NOT NULL DEFAULT '',
  online INTEGER NOT NULL DEFAULT 0,
  latched INTEGER NOT NULL DEFAULT 0,
  fault TEXT NOT NULL DEFAULT '',
  battery REAL,
  zone TEXT NOT NULL DEFAULT '',
  version INTEGER NOT NULL DEFAULT 1
) STRICT;

CREATE TABLE unit_order (
  id INTEGER PRIMARY KEY AUTOINCREMENT, unit TEXT NOT NULL REFERENCES unit, action TEXT NOT NULL, body BLOB NOT NULL,
  done_ns INTEGER
) STRICT;
CREATE INDEX open_orders ON unit_order (unit) WHERE done_ns IS NULL;

CREATE TABLE cell (
  id TEXT PRIMARY KEY, display_name TEXT NOT NULL, scenario TEXT NOT NULL, sector TEXT NOT NULL, level INTEGER NOT NULL,
  x_m REAL NOT NULL, y_m REAL NOT NULL, yaw_rad REAL NOT NULL, width_m REAL NOT NULL, depth_m REAL NOT NULL,
  zone TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE TABLE sim_slot (id TEXT PRIMARY KEY, runner TEXT NOT NULL) STRICT;

CREATE TABLE job (
  id INTEGER PRIMARY KEY,
  uid TEXT NOT NULL UNIQUE,
  vendor TEXT NOT NULL REFERENCES vendor,
  -- Whose share it counts against: the vendor, or one of its projects (table party).
  leaf TEXT NOT NULL,
  request_id TEXT, request_sha256 BLOB,
  state INTEGER NOT NULL,
  priority INTEGER NOT NULL,
  -- The Job message as submitted, without what only we may set.
  spec BLOB NOT NULL,
  create_ns INTEGER NOT NULL, grant_ns INTEGER, start_ns INTEGER, end_ns INTEGER,
  not_before_ns INTEGER NOT NULL DEFAULT 0,
  attempt_count INTEGER NOT NULL DEFAULT 0,
  failed_count INTEGER NOT NULL DEFAULT 0,
  lost_count INTEGER NOT NULL DEFAULT 0,
  episode_count INTEGER NOT NULL DEFAULT 0,
  -- Of these, by outcome; the rest was cut short.
  episode_success_count INTEGER NOT NULL DEFAULT 0, episode_failure_count INTEGER NOT NULL DEFAULT 0,
  log_lines INTEGER NOT NULL DEFAULT 0,
  progress BLOB, result BLOB, failure BLOB, checkpoint BLOB,
  version INTEGER NOT NULL DEFAULT 1,
  event_seq INTEGER NOT NULL DEFAULT 0,
  -- The largest number stands for none, so that those come last.
  deadline_ns INTEGER NOT NULL DEFAULT 9223372036854775807,
  -- Jobs that it still waits for (rows of job_after), and works that have yet to pass in simulation (rows of sim_gate).
  open_after INTEGER NOT NULL DEFAULT 0, open_gates INTEGER NOT NULL DEFAULT 0,
  array_uid TEXT, array_index INTEGER NOT NULL DEFAULT 0,
  UNIQUE (vendor, request_id)
) STRICT;
CREATE INDEX job_queue ON job (vendor, leaf, priority DESC, deadline_ns, id)
  WHERE state = 1 AND open_after = 0 AND open_gates = 0;
CREATE INDEX job_depth ON job (vendor) WHERE state = 1;
CREATE INDEX job_by_array ON job (array_uid) WHERE array_uid IS NOT NULL;
CREATE INDEX job_by_vendor ON job (vendor, id);
CREATE INDEX job_active ON job (state) WHERE state IN (2, 3, 4);

CREATE TABLE attempt (
  job_id INTEGER NOT NULL REFERENCES job, number INTEGER NOT NULL, state INTEGER NOT NULL,
  lease_id INTEGER NOT NULL, instance TEXT NOT NULL DEFAULT '',
  grant_ns INTEGER NOT NULL, start_ns INTEGER, end_ns INTEGER, cancel_ns INTEGER,
  -- Asked to end for somebody else's sake, and by when it must have.
  preempt_ns INTEGER, stop_by_ns INTEGER,
  -- Since when nothing would be lost: the last checkpoint or sealed episode. NULL: since the grant.
  safe_ns INTEGER,
  -- The reason for which its vendor gets back what it used since then. NULL: none.
  refund TEXT,
  failure BLOB, resources TEXT NOT NULL,
  PRIMARY KEY (job_id, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX attempt_active ON attempt (state) WHERE state IN (1, 2);
CREATE INDEX attempt_preempted ON attempt (preempt_ns) WHERE preempt_ns IS NOT NULL;

CREATE TABLE lease (
  id INTEGER PRIMARY KEY, uid TEXT NOT NULL UNIQUE, vendor TEXT NOT NULL REFERENCES vendor, leaf TEXT NOT NULL,
  job_id INTEGER NOT NULL, attempt INTEGER NOT NULL, state INTEGER NOT NULL,
  cell TEXT, grant_ns INTEGER NOT NULL, expire_ns INTEGER NOT NULL, end_by_ns INTEGER NOT NULL, end_ns INTEGER,
  seats INTEGER NOT NULL DEFAULT 0, chargers INTEGER NOT NULL DEFAULT 0,
  UNIQUE (job_id, attempt)
) STRICT;
CREATE INDEX lease_open ON lease (state) WHERE state IN (1, 2, 3, 5);
CREATE INDEX lease_by_vendor ON lease (vendor, id);
CREATE INDEX lease_starts ON lease (vendor, grant_ns);

CREATE TABLE lease_unit (
  lease_id INTEGER NOT NULL REFERENCES lease, unit TEXT NOT NULL REFERENCES unit, epoch INTEGER NOT NULL,
  grant_ns INTEGER NOT NULL, free_ns INTEGER,
  PRIMARY KEY (lease_id, unit), UNIQUE (unit, epoch)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX one_lease_per_unit ON lease_unit (unit) WHERE free_ns IS NULL;

CREATE TABLE lease_slot (
  lease_id INTEGER NOT NULL REFERENCES lease, slot TEXT NOT NULL, grant_ns INTEGER NOT NULL, free_ns INTEGER,
  PRIMARY KEY (lease_id, slot)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX one_lease_per_slot ON lease_slot (slot) WHERE free_ns IS NULL;

CREATE TABLE lease_cell (
  lease_id INTEGER PRIMARY KEY REFERENCES lease, cell TEXT NOT NULL, grant_ns INTEGER NOT NULL, free_ns INTEGER
) STRICT;
CREATE UNIQUE INDEX one_lease_per_cell ON lease_cell (cell) WHERE free_ns IS NULL;

CREATE TABLE episode (
  id INTEGER PRIMARY KEY, uid TEXT NOT NULL UNIQUE, vendor TEXT NOT NULL REFERENCES vendor,
  job_id INTEGER NOT NULL REFERENCES job, attempt INTEGER NOT NULL, number INTEGER NOT NULL,
  robot_model TEXT NOT NULL, seal_ns INTEGER NOT NULL, body BLOB NOT NULL,
  UNIQUE (job_id, attempt, number)
) STRICT;
CREATE INDEX episode_by_vendor ON episode (vendor, id);

CREATE TABLE usage (
  vendor TEXT PRIMARY KEY REFERENCES vendor,
  unit_ms INTEGER NOT NULL DEFAULT 0, slot_ms INTEGER NOT NULL DEFAULT 0, cell_ms INTEGER NOT NULL DEFAULT 0
) STRICT;

-- vendor: whose event it is, or NULL for one that everybody may read.
CREATE TABLE event (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, time_ns INTEGER NOT NULL, kind TEXT NOT NULL, resource TEXT NOT NULL,
  vendor TEXT, message TEXT NOT NULL, body BLOB NOT NULL
) STRICT;

CREATE TABLE log (
  job_id INTEGER NOT NULL REFERENCES job, line INTEGER NOT NULL, attempt INTEGER NOT NULL, time_ns INTEGER NOT NULL,
  text TEXT NOT NULL, PRIMARY KEY (job_id, line)
) STRICT, WITHOUT ROWID;

-- The latest decisions that granted something or made room for it: on what they were made and what they were, as packed bytes, compressed.
CREATE TABLE decision (
  id INTEGER PRIMARY KEY AUTOINCREMENT, token TEXT NOT NULL, time_ns INTEGER NOT NULL,
  state BLOB NOT NULL, decisions BLOB NOT NULL
) STRICT;
CREATE INDEX decision_by_token ON decision (token);

-- Like jobs submitted together; the jobs name it.
CREATE TABLE job_array (
  id INTEGER PRIMARY KEY, uid TEXT NOT NULL UNIQUE, vendor TEXT NOT NULL REFERENCES vendor,
  request_id TEXT, request_sha256 BLOB NOT NULL, size INTEGER NOT NULL, create_ns INTEGER NOT NULL,
  UNIQUE (vendor, request_id)
) STRICT;

-- A job and one that it still waits for. The row goes when either has ended. uses_policy: its work needs the policy that
-- the other leaves.
CREATE TABLE job_after (
  job_id INTEGER NOT NULL REFERENCES job, before_id INTEGER NOT NULL REFERENCES job,
  uses_policy INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (job_id, before_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX job_before ON job_after (before_id);

-- How well a vendor's work went in simulation at its best: the lower end of the interval of its success rate.
CREATE TABLE sim_result (
  vendor TEXT NOT NULL REFERENCES vendor, work TEXT NOT NULL, success_low REAL NOT NULL,
  job_id INTEGER NOT NULL REFERENCES job,
  PRIMARY KEY (vendor, work)
) STRICT, WITHOUT ROWID;

-- A waiting job and a work of it that has yet to pass in simulation.
CREATE TABLE sim_gate (
  job_id INTEGER NOT NULL REFERENCES job, vendor TEXT NOT NULL REFERENCES vendor, work TEXT NOT NULL,
  PRIMARY KEY (job_id, work)
) STRICT, WITHOUT ROWID;
CREATE INDEX sim_gate_by_work ON sim_gate (vendor, work);

-- Robots as bodies: what each can do, how it is, and how far it is to be trusted. One row for each unit, made with it.
CREATE TABLE body (
  unit TEXT PRIMARY KEY REFERENCES unit,
  payload_kg REAL NOT NULL DEFAULT 0,
  end_effector TEXT NOT NULL DEFAULT '',
  sensors TEXT NOT NULL DEFAULT '[]',
  firmware TEXT NOT NULL DEFAULT '',
  -- NULL: no battery.
  capacity_wh REAL, work_power_w REAL, charge_power_w REAL,
  -- On a charger by its host's word; when it was last sent to one.
  plugged INTEGER NOT NULL DEFAULT 0,
  charge_try_ns INTEGER NOT NULL DEFAULT 0,
  -- It cools down until then. Rules of its own instead of the venue's, where set.
  cool_ns INTEGER NOT NULL DEFAULT 0, rest_fraction REAL, rest_s REAL,
  calibrated_ns INTEGER,
  wear_ms INTEGER NOT NULL DEFAULT 0,
  setup TEXT NOT NULL DEFAULT '',
  health INTEGER NOT NULL DEFAULT 2,
  health_cause TEXT NOT NULL DEFAULT '',
  -- Last passed check; no check before; jobs and work since.
  check_ns INTEGER,
  check_after_ns INTEGER NOT NULL DEFAULT 0,
  jobs_unchecked INTEGER NOT NULL DEFAULT 0,
  work_unchecked_ms INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX body_check ON body (check_after_ns) WHERE check_after_ns > 0;
CREATE TRIGGER body_of_unit AFTER INSERT ON unit BEGIN INSERT INTO body (unit) VALUES (new.id); END;

CREATE TABLE unit_fault (unit TEXT NOT NULL REFERENCES unit, time_ns INTEGER NOT NULL, fault TEXT NOT NULL) STRICT;
CREATE INDEX unit_fault_by_time ON unit_fault (unit, time_ns);

-- Operators' requests that carried an id, so that a repeat changes nothing.
CREATE TABLE fleet_request (request_id TEXT PRIMARY KEY, sha256 BLOB NOT NULL, time_ns INTEGER NOT NULL) STRICT;

-- Shares. The tree of groups, vendors and projects as the venue file has it. Of the leaves, which own jobs, `vendor` and
-- `project` say whose they are; a vendor that has projects has a leaf "vendor/-" for the rest. NULL: no limit.
CREATE TABLE party (
  id TEXT PRIMARY KEY, parent TEXT NOT NULL DEFAULT '',
  vendor TEXT REFERENCES vendor, project TEXT NOT NULL DEFAULT '', leaf INTEGER NOT NULL,
  weight REAL NOT NULL CHECK (weight > 0),
  guarantee_units INTEGER NOT NULL DEFAULT 0, guarantee_slots INTEGER NOT NULL DEFAULT 0,
  guarantee_cells INTEGER NOT NULL DEFAULT 0,
  limit_units INTEGER, limit_slots INTEGER, limit_cells INTEGER, starts_per_hour INTEGER, leases_max INTEGER,
  configured INTEGER NOT NULL DEFAULT 1
) STRICT;
CREATE UNIQUE INDEX one_leaf_per_project ON party (vendor, project) WHERE leaf = 1;

-- The books: what each lease used, once it has ended, and what of that was given back. Never changed, only added to.
CREATE TABLE ledger (
  id INTEGER PRIMARY KEY, lease_id INTEGER NOT NULL REFERENCES lease, vendor TEXT NOT NULL REFERENCES vendor,
  leaf TEXT NOT NULL, time_ns INTEGER NOT NULL,
  entry TEXT NOT NULL CHECK (entry IN ('use', 'refund')),
  -- Of a refund: the error reason that it is for.
  cause TEXT NOT NULL CHECK ((cause != '') = (entry = 'refund')),
  resource TEXT NOT NULL CHECK (resource IN ('unit', 'slot', 'cell')),
  robot_class TEXT NOT NULL, amount_ms INTEGER NOT NULL CHECK (amount_ms > 0)
) STRICT;
CREATE INDEX ledger_by_lease ON ledger (lease_id);

-- The same by the hour (since the epoch) in which it was used: what months and past use are computed from.
CREATE TABLE usage_hour (
  vendor TEXT NOT NULL REFERENCES vendor, leaf TEXT NOT NULL, hour INTEGER NOT NULL, resource TEXT NOT NULL,
  robot_class TEXT NOT NULL, used_ms INTEGER NOT NULL, refund_ms INTEGER NOT NULL,
  PRIMARY KEY (vendor, hour, leaf, resource, robot_class),
  CHECK (refund_ms BETWEEN 0 AND used_ms)
) STRICT, WITHOUT ROWID;

-- The decayed mean of what a leaf's ended leases held, as of `time_ns`: `usage_hour`, folded with meta 'half_life_s'.
CREATE TABLE used_mean (
  leaf TEXT PRIMARY KEY, time_ns INTEGER NOT NULL, unit REAL NOT NULL, slot REAL NOT NULL, cell REAL NOT NULL
) STRICT, WITHOUT ROWID;

-- By what the slow loop multiplies the weight of a leaf, and since when.
CREATE TABLE target (
  leaf TEXT PRIMARY KEY, factor REAL NOT NULL CHECK (factor > 0), time_ns INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Time: zones, the calendar, advance reservations.
-- In an exclusive zone one cell may be in use at a time.
CREATE TABLE zone (id TEXT PRIMARY KEY, exclusive INTEGER NOT NULL) STRICT;

-- Openings and closures of the venue file: local times as a clock on the wall shows them (see calendar.Window).
-- scope: a JSON object of lists, with the keys units, cells and zones.
CREATE TABLE calendar_window (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, opens INTEGER NOT NULL, starts TEXT NOT NULL, ends TEXT NOT NULL,
  rrule TEXT NOT NULL, scope TEXT NOT NULL, stop_running INTEGER NOT NULL
) STRICT;

-- Closures that operators made.
CREATE TABLE closure (
  id INTEGER PRIMARY KEY, uid TEXT NOT NULL UNIQUE, request_id TEXT UNIQUE, request_sha256 BLOB NOT NULL,
  display_name TEXT NOT NULL, start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL CHECK (end_ns > start_ns),
  rrule TEXT NOT NULL, scope TEXT NOT NULL, stop_running INTEGER NOT NULL, create_ns INTEGER NOT NULL
) STRICT;

CREATE TABLE reservation (
  id INTEGER PRIMARY KEY, uid TEXT NOT NULL UNIQUE, vendor TEXT NOT NULL REFERENCES vendor,
  request_id TEXT, request_sha256 BLOB NOT NULL, state INTEGER NOT NULL, degraded INTEGER NOT NULL DEFAULT 0,
  -- The Reservation message as submitted, without what only we may set.
  spec BLOB NOT NULL,
  start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL CHECK (end_ns > start_ns),
  create_ns INTEGER NOT NULL, active_ns INTEGER, close_ns INTEGER,
  version INTEGER NOT NULL DEFAULT 1,
  UNIQUE (vendor, request_id)
) STRICT;
CREATE INDEX reservation_open ON reservation (state) WHERE state IN (1, 2);
CREATE INDEX reservation_by_vendor ON reservation (vendor, id);

CREATE TABLE reservation_job (
  job_id INTEGER PRIMARY KEY REFERENCES job, reservation_id INTEGER NOT NULL REFERENCES reservation
) STRICT;
CREATE INDEX jobs_of_reservation ON reservation_job (reservation_id);

-- Estimates of starts. What jobs of a sample were told, in seconds from `told_ns`, as told and before it was stretched by
-- what had come of earlier ones. wait_s: from then to the first grant, NULL until it comes.
CREATE TABLE told_start (
  id INTEGER PRIMARY KEY AUTOINCREMENT, job_id INTEGER NOT NULL UNIQUE REFERENCES job, told_ns INTEGER NOT NULL,
  p50_s REAL NOT NULL, p90_s REAL NOT NULL, raw_p50_s REAL NOT NULL, raw_p90_s REAL NOT NULL, wait_s REAL
) STRICT;
-- What leases took of the time asked for, the latest first.
CREATE INDEX lease_ended ON lease (end_ns) WHERE end_ns IS NOT NULL;
CREATE INDEX lease_ended_by_vendor ON lease (vendor, end_ns) WHERE end_ns IS NOT NULL;

-- API keys. vendor: 'venue' for the house's own. digest: of the secret (see keys.py); former_digest: of the one before the
-- last rotation, which opens until former_expire_ns; no bytes, which no digest equals, if there is none.
CREATE TABLE api_key (
  id INTEGER PRIMARY KEY, uid TEXT NOT NULL UNIQUE, vendor TEXT NOT NULL REFERENCES vendor, role TEXT NOT NULL,
  display_name TEXT NOT NULL, methods TEXT NOT NULL, projects TEXT NOT NULL, creator TEXT NOT NULL,
  digest BLOB NOT NULL, former_digest BLOB NOT NULL DEFAULT x'', former_expire_ns INTEGER NOT NULL DEFAULT 0,
  create_ns INTEGER NOT NULL, expire_ns INTEGER, rotate_ns INTEGER, use_ns INTEGER, revoke_ns INTEGER
) STRICT;
CREATE INDEX api_key_by_vendor ON api_key (vendor, id);

-- The audit: an entry for each call that changed something, in the chain of whom it concerns, a vendor or 'venue' for the
-- house, and with its place `seq` in the chain of all together. Never changed, only added to.
CREATE TABLE audit (
  seq INTEGER PRIMARY KEY, chain TEXT NOT NULL, chain_seq INTEGER NOT NULL, time_ns INTEGER NOT NULL,
  actor TEXT NOT NULL, role TEXT NOT NULL, method TEXT NOT NULL, resource TEXT NOT NULL, reason TEXT NOT NULL,
  request_sha256 BLOB NOT NULL, hash BLOB NOT NULL, venue_hash BLOB NOT NULL,
  UNIQUE (chain, chain_seq)
) STRICT;
-- Where each chain ends; that of all together under ''.
CREATE TABLE audit_head (chain TEXT PRIMARY KEY, seq INTEGER NOT NULL, hash BLOB NOT NULL) STRICT, WITHOUT ROWID;

-- The revision of this schema (see migrations/), in the table that alembic keeps.
CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num));
