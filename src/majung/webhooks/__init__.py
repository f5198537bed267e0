"""Webhooks: what happens to orders and at fences, told to servers of others by signed HTTP calls.

Guarantees
- At least once: a delivery is a row before the log's offset is let go of (one transaction), and stays
  `waiting` until the receiver has answered 2xx. A receiver drops what it has seen by `webhook-id`, which is the
  id of the event however often it is sent.
- In order within an order (or rider), one at a time; only past one that was refused three times do later ones
  go on. `data.version` tells anyway.
- Nobody waits for anybody else's endpoint: each has its own few connections, its own back-off, its own bound.
  Past the bound it is *behind*: nothing more is stored for it, and it is read on from the log when there is room.
- An endpoint gets what the account that made it may read, delivery codes never; it stops when that account does.

Neighbours: `outbox/` and `positions/` write the topics, `outward.py` makes the calls and refuses private
networks. Events are CloudEvents 1.0 (structured JSON), signatures Standard Webhooks 1.0.
"""
