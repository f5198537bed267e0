"""What Alembic runs around the revisions. The connection comes from `runner.upgrade`."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    # SQLite's DDL is transactional once the driver's own handling of transactions is off, which it is.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
