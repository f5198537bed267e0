"""A minute for whatever waits: the libraries' own bounds, 5 or 10 s, are shorter than a busy machine's pauses.

A bound in a test only ends a test that would never end; it measures nothing.
"""

import inspect

import httpx
import websockets.asyncio.client
import websockets.sync.client

WAIT_S = 60.0


def be_patient() -> None:
    """For every test of this process."""
    default = inspect.signature(httpx.get).parameters["timeout"].default
    for part in ("connect", "read", "write", "pool"):
        setattr(default, part, WAIT_S)  # one object, shared by all of httpx's functions and clients
    for connect in (websockets.sync.client.connect, websockets.asyncio.client.connect.__init__):
        assert connect.__kwdefaults__ is not None
        connect.__kwdefaults__ |= {"open_timeout": WAIT_S, "ping_timeout": WAIT_S}
