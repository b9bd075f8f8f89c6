"""What alembic runs for each command. The connection, and the transaction around it, are `upgrade`'s."""

from alembic import context

connection = context.config.attributes.get("connection")
if connection is None:
    raise SystemExit("use `python -m scheduler migrate --data FOLDER`, which makes a backup first")
# One transaction for all revisions; both databases roll back changes of a schema as those of rows.
context.configure(connection=connection, transactional_ddl=True, transaction_per_migration=False)
context.run_migrations()
