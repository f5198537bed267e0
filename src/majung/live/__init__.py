"""Whoever watches gets what is new: the newest position of each rider, and never a silent gap.

Guarantees
- A viewer's state is `snapshot + changes`, and equals a fresh snapshot once everything is delivered.
- Newest wins: a slow viewer skips positions, it never works through a queue of old ones. What waits for
  one viewer is bounded in bytes; past the bound it is told `resync` and gets a snapshot.
- A stream has an epoch (one life of a hub) and an offset (changes published in it). Who comes back with
  both gets exactly what it missed, or `resync` and a snapshot. Never neither.
- A position is encoded once, however many watch it.
- A viewer sees the riders that the policy lets it see *now*; a right that was taken away is gone within
  a second.

Neighbours: `positions/pipeline.py` publishes into the `Hub`; the doors in `serve/http/live.py` open
viewers and send what `Viewer.take` gives them; snapshots come from the `LiveStore`; other servers are
reached over `Fanout`. One event loop owns all of it; nothing here is thread-safe.
"""
