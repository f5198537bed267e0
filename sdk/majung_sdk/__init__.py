"""What a device runs to report its position: buffered on disk, sent over gRPC, trimmed when acknowledged.

Guarantees, whatever happens to the network, the server or the app:

- a position that `report` took and `saved` confirmed is on disk, and stays there until the server has
  acknowledged it, or until the bound on the buffer drops it (oldest first, counted in `dropped`);
- a position keeps its identity `(rider_id, session_id, seq)` for ever: after a kill the app goes on
  with the same session and never gives out a seq again; a new buffer file is a new session from 1;
- it never gives up: it reconnects with exponential back-off and full jitter, and slowly when the
  server refuses the credential (which is reported to `on_problem`).

`Device` is one rider with a file and a connection of its own. `Fleet` is many of them in one process:
one file, a few connections. Everything belongs to one asyncio event loop; gRPC for asyncio allows one
in each process. The behaviour on the wire is written down in docs/sdk.md for other languages.
"""

from majung_sdk.buffer import Buffer, BufferFull, BufferInUse
from majung_sdk.channels import Connection
from majung_sdk.device import Device
from majung_sdk.fleet import Fleet
from majung_sdk.reporter import Reporter
from majung_sdk.retry import Problem, Retry
from majung_sdk.totals import Latencies, Totals
from majung_sdk.uplink import Source, Uplink

__all__ = [
    "Buffer",
    "BufferFull",
    "BufferInUse",
    "Connection",
    "Device",
    "Fleet",
    "Latencies",
    "Problem",
    "Reporter",
    "Retry",
    "Source",
    "Totals",
    "Uplink",
]
