"""What an operator sees: logs, metrics, health, and the loss ledger.

Guarantee: every position that came in is counted on exactly one way out, so the sums close; what is
missing is named. Neighbours: doors and `positions/` count here, `serve/http/operations.py` shows it.
"""
