"""When an order arrives, between when and when, and whether that is later than was promised.

Guarantees: every open order has an expected arrival, recomputed by what happens to it and by how its rider
moves; the interval is made of the errors that were really made (eight of ten arrivals fall into it once there
were some hundred orders); what was predicted at each stage is kept beside what happened. What is in memory is
bounded, forgotten when the order ends, and comes back after a restart: rows, what was learned and the offsets
that they came from are one transaction.

Neighbours: `order.events.v1` comes in (group "eta") and the live positions of riders who carry; `routing/` gives
ways, and learns from legs that end; messages go out over `order_live.tell`.
"""
