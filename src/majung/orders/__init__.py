"""Orders: four people on one order, and exactly one of them wins when they act at once.

Guarantees: the history of an order is a path of the table in `table.py`; every change has a version one
higher than the one before, is committed together with its outbox row, and never goes backwards; who comes
too late is told so with the order as it is now.

Neighbours: entry points in `serve/http/orders.py` call `service`; `outbox/` publishes what was committed;
`views` are built from what was published, and are all that anybody reads.
"""
