"""Devices that are not there: a city full of riders, and recorded tracks that drive again.

Both go through the real gRPC door by the SDK, exactly as phones do; nothing here knows the server's
inside. `city` and `mishaps` are pure and deterministic by seed; `run` sends what they produce. `tracks`
reads recordings, `replay` sends them. Neighbours: `majung_sdk` (towards the door), `cli_simulate`.
"""
