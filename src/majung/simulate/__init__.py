"""Devices that are not there: a city full of riders, one that orders too, and recorded tracks that drive again.

All go through the real doors, by the SDK exactly as phones do, and over HTTP as pages do; nothing here knows the
server's inside. `city`, `traffic` and `mishaps` are pure and deterministic by seed; `run` sends what they produce.
`delivery` is the city that orders. `tracks` reads recordings, `replay` sends them. Neighbours: `majung_sdk` (towards
the door), `cli_simulate`, `cli_delivery`, `cli_replay`.
"""
