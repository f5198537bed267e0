"""A WebSocket that one of the simulated people keeps open, as the pages do; it comes back when it is lost."""

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus, WebSocketException

from majung.simulate.delivery.http import Client
from majung.simulate.delivery.people import Person

_MAX_BYTES = 8 * 1024 * 1024
_LONGEST_PAUSE_S = 15.0


class Refused(Exception):
    """The server does not open this stream for this person, and would not later either."""


async def messages(client: Client, person: Person, path: str) -> AsyncGenerator[dict[str, Any], None]:
    """Every message, as long as the caller listens. Raises Refused (4xx other than 401 and 429)."""
    pauses = random.Random(f"{person.name}{path}")  # noqa: S311 - pauses
    failures = 0
    while True:
        try:
            async with aclosing(_connected(client, person, path)) as stream:
                async for message in stream:
                    failures = 0
                    yield message
        except InvalidStatus as answer:
            status = answer.response.status_code
            if 400 <= status < 500 and status not in (401, 408, 429):
                raise Refused(f"{path}: {status}") from None
            client.waited[str(status)] += 1
        except (OSError, TimeoutError, WebSocketException):
            client.waited["connection"] += 1
        failures += 1
        await asyncio.sleep(min(_LONGEST_PAUSE_S, 0.25 * 2**failures) * (0.5 + 0.5 * pauses.random()))


async def _connected(client: Client, person: Person, path: str) -> AsyncGenerator[dict[str, Any], None]:
    scheme = "ws" if client.tls is None else "wss"
    token = await person.token(client)
    async with connect(
        f"{scheme}://{client.host}:{client.port}{path}",
        additional_headers={"Authorization": f"Bearer {token}"},
        ssl=client.tls,
        compression=None,
        max_size=_MAX_BYTES,
        max_queue=64,
        ping_interval=None,  # the server asks often enough, and an answer is cheaper than a question
        proxy=None,
        open_timeout=30,
        close_timeout=1,
    ) as socket:
        async for text in socket:
            yield msgspec.json.decode(text)
