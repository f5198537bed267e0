"""Notifications: who is told what has become of an order, in the page and on a phone that lies in a pocket.

Guarantees
- Every change that concerns somebody (`rules.TABLE`) becomes one notice: a row, unique by recipient, order,
  kind and cause, written before the events it comes from are committed. However often an event or a position
  is processed, nobody is told twice.
- A rider within `notify.near_m` of the door is told to the customer once an order (`near.py`), by a fresh and
  accurate position of the rider who carries it.
- A notice goes to each push subscription of its recipient at least once, or until it has expired: a queue row
  is written with the notice and deleted when the push service has taken it. No push service holds up another,
  nor the consumer.

Neighbours: `order.events.v1` (group "notify"), the offers of `dispatch/` and the positions of the hub come in;
`OrderLive.tell` and `outward.Outward` are the ways out. Text is made at the edge, by `words.py`, in the language
of each subscription; pages make their own from kind and params.
"""
