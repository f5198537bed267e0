"""Who is calling, and what may they do.

Guarantees: a credential is checked in one place (`service.py`) and a right in one place (`policy.py`); a
removed right ends within a second on every server, an expired one at its time; nothing here grows with
the number of strangers that knock. Secrets leave once, when they are made; only their hashes are stored.

Neighbours: every door in `serve/` authenticates here and asks the policy; `positions/ingest.py` asks who
may report for whom; `live/` asks whom a viewer may see. Below stands `ports.Database` alone, with the SQL
in `store.py`. `docs/security.md` tells it to an operator.
"""
