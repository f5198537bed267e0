"""Dispatch: every order that cooks gets a rider, and no rider gets two.

Guarantees: a rider holds at most one thing, an open offer or an order, and an order is held by at most one
rider: two unique indexes of the database say so, what is in memory is a cache of it. An order that needs a
rider is offered, retried in a widening radius and shown as unassigned until it has one or ends. Nothing is
lost with the process: orders, offers and duty are rows, and an offer ends by the clock, not by a timer.

Neighbours: `order.events.v1` comes in (group "dispatch"), `LiveStore.nearest` says who is near,
`OrderService.command(ASSIGN)` goes out; riders talk to it through `serve/http/dispatch.py`.
"""
