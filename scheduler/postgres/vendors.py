"""Row-level security: what a vendor's call reads, it reads in a role that is shown that vendor's rows only.

A second wall behind the queries' own conditions: a query that forgot its WHERE still finds nothing of a competitor. The
role may only read, and owns nothing. Each reading transaction says for whom it is (`app.vendor`), and without that it
sees no vendor's rows at all.
"""

import hashlib
from collections.abc import Mapping

from database.postgres.connection import ROLE, Connection
from scheduler.sql import Failed

_MINE = "vendor = current_setting('app.vendor', true)"
_MY_CHAIN = "chain = current_setting('app.vendor', true)"
_OF_JOB = "EXISTS (SELECT 1 FROM job WHERE job.id = {column})"
_OF_LEASE = "EXISTS (SELECT 1 FROM lease WHERE lease.id = lease_id)"
# Of each table that vendors' calls read: which of its rows are the vendor's. Subqueries are under the same policies.
ROWS: Mapping[str, str] = {
    "vendor": "id = current_setting('app.vendor', true)",
    "job": _MINE,
    "lease": _MINE,
    "episode": _MINE,
    "usage": _MINE,
    "event": f"vendor IS NULL OR {_MINE}",
    "job_array": _MINE,
    "sim_result": _MINE,
    "sim_gate": _MINE,
    "party": _MINE,
    "ledger": _MINE,
    "usage_hour": _MINE,
    "reservation": _MINE,
    "api_key": _MINE,
    # A vendor's own part of the audit is a chain of its name.
    "audit": _MY_CHAIN,
    "audit_head": _MY_CHAIN,
    "attempt": _OF_JOB.format(column="job_id"),
    "log": _OF_JOB.format(column="job_id"),
    "job_after": _OF_JOB.format(column="job_id"),
    "reservation_job": _OF_JOB.format(column="job_id"),
    "told_start": _OF_JOB.format(column="job_id"),
    "lease_unit": _OF_LEASE,
    "lease_slot": _OF_LEASE,
    "lease_cell": _OF_LEASE,
}
# What is nobody's in particular, or everybody may know.
OPEN = ("venue", "zone", "calendar_window", "closure", "unit", "body", "cell", "sim_slot", "alembic_version")
# What no vendor's call has any business with.
CLOSED = (
    "meta", "unit_order", "unit_fault", "fleet_request", "decision", "used_mean", "target", "numbered", "changed",
    "looked", "venue_version",
)  # fmt: skip


def install(db: Connection) -> None:
    """Make role, rights and policies, unless they are there as they should be. Raises Failed with what is missing."""
    script = _script()
    digest = hashlib.sha256(script.encode()).hexdigest()
    if db.execute("SELECT obj_description('numbered'::regclass, 'pg_class')").fetchone()[0] == digest:
        return
    try:
        # Roles are the server's, not the database's: another venue's scheduler may make it at the same time.
        db.script(
            f"""
            DO $$ BEGIN
              IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = '{ROLE}') THEN CREATE ROLE {ROLE} NOLOGIN; END IF;
            EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
            DO $$ BEGIN
              -- Since version 16 who makes a role is a member of it that may not act as it.
              IF NOT pg_has_role('{ROLE}',
                CASE WHEN current_setting('server_version_num')::int < 160000 THEN 'MEMBER' ELSE 'SET' END)
              THEN EXECUTE 'GRANT {ROLE} TO ' || quote_ident(current_user); END IF;
            EXCEPTION WHEN unique_violation THEN NULL; END $$
            """
        )
    except Failed as error:
        raise Failed(
            error.sqlstate,
            f"the role {ROLE} cannot be made ({error}): let an administrator of the server run once "
            f"`CREATE ROLE {ROLE} NOLOGIN; GRANT {ROLE} TO <the scheduler's role>`",
        ) from None
    db.script(f"BEGIN; {script} COMMENT ON TABLE numbered IS '{digest}'; COMMIT")


# All policies, until the next start: a column that one names cannot change.
REMOVE = """
DO $$ DECLARE one name; BEGIN
  FOR one IN SELECT tablename FROM pg_policies WHERE schemaname = current_schema() AND policyname = 'of_vendor'
  LOOP EXECUTE format('DROP POLICY of_vendor ON %I', one); END LOOP; END $$;
COMMENT ON TABLE numbered IS NULL;
"""


def _script() -> str:
    # Whatever the server lets everybody do in a new database.
    found = f"GRANT USAGE ON SCHEMA public TO {ROLE}; "
    for table, rows in ROWS.items():
        found += (
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY; DROP POLICY IF EXISTS of_vendor ON {table}; "
            f"CREATE POLICY of_vendor ON {table} FOR SELECT TO {ROLE} USING ({rows}); "
        )
    return found + f"GRANT SELECT ON {', '.join((*ROWS, *OPEN))} TO {ROLE}; "
