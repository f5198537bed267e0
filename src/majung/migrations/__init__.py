"""The tables of the `Database` port, as one chain of Alembic revisions in `versions/`.

Guarantees: each revision runs once, all that are missing run in one transaction (a crash leaves the
tables as they were), and two processes that start together do not run one twice. The revisions are
plain SQL that SQLite and PostgreSQL both take. Neighbours: `backends/*/database.py` call `upgrade`
when they open; the domains' `store.py` use the tables.
"""

from majung.migrations.runner import FOLDER, head, known, upgrade

__all__ = ["FOLDER", "head", "known", "upgrade"]
