"""The core: what happens to a position between the door and the map.

Guarantees: a position that `ingest` acknowledged is durable; it has exactly one effect, however often
it is sent; the live marker moves forward in device time only; a bad fix is set aside with a reason.

Neighbours: doors in `serve/` call `ingest`; `pipeline` reads the log and writes history, the live
index, triggers and `live/`. This package talks to ports and never to a backend. The way is told in
`docs/path-of-a-position.md`.
"""
