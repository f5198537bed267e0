"""The libraries that tests speak to servers with, set for tests: patient, and quick to make.

A bound in a test only ends a test that would never end; it measures nothing. The libraries' own, 5 or 10 s,
are shorter than a busy machine's pauses.
"""

import inspect
import ssl
from typing import Any

import httpx
import httpx._transports.default as transports
import websockets.asyncio.client
import websockets.sync.client

WAIT_S = 60.0


def be_patient() -> None:
    """A minute for whatever waits."""
    default = inspect.signature(httpx.get).parameters["timeout"].default
    for part in ("connect", "read", "write", "pool"):
        setattr(default, part, WAIT_S)  # one object, shared by all of httpx's functions and clients
    for connect in (websockets.sync.client.connect, websockets.asyncio.client.connect.__init__):
        assert connect.__kwdefaults__ is not None
        connect.__kwdefaults__ |= {"open_timeout": WAIT_S, "ping_timeout": WAIT_S}


def share_authorities() -> None:
    """One SSL context for all clients that ask for none of their own.

    httpx makes one for each client and each `httpx.get`, also when it speaks no TLS: 18 ms of CPU, thousands of
    times.
    """
    make, shared = httpx.create_ssl_context, httpx.create_ssl_context()

    def made(verify: Any = True, cert: Any = None, trust_env: bool = True) -> ssl.SSLContext:
        return shared if verify is True and cert is None else make(verify, cert, trust_env)

    vars(transports)["create_ssl_context"] = made
