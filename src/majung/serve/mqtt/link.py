"""One connection to the broker, with the acknowledgements in our own hands.

`aiomqtt` drives paho on the event loop, and acknowledges a message as soon as paho has handed it over. It has
no option against that (empicano/aiomqtt#345, open); paho has: `manual_ack_set` and `ack`. They are set on the
paho client within, before it connects, because the broker sends what is unacknowledged at once after its CONNACK.
For the same reason messages are taken from paho itself: aiomqtt's queue, when it is full, drops a message
that nobody will acknowledge then, and a topic that is no UTF-8 ends its connection for ever anew.

The broker sends at most `MAX_UNACKED` messages ahead (MQTT 5, Receive Maximum), so those need no other bound.
Messages with QoS 0 do: past `MAX_WAITING` they are dropped and counted, as their sender asked for.

MQTT 5: https://docs.oasis-open.org/mqtt/mqtt/v5.0/mqtt-v5.0.html
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Iterator
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from majung.settings import MqttSettings

if TYPE_CHECKING:
    import aiomqtt

MISSING = "mqtt.url needs aiomqtt 2: install it with pip install 'majung[mqtt]', or leave the setting empty"
MAX_UNACKED = 256
MAX_WAITING = 1_024
MAX_PAYLOAD = 65_536
"""Bytes of a payload that are read; of a longer one only its beginning is kept."""
MAX_PACKET = 2_097_152
"""The broker sends nothing larger (MQTT 5, Maximum Packet Size)."""
_KEEP_ALIVE_S = 30
PLAIN_PORT, TLS_PORT = 1883, 8883


class Arrived(NamedTuple):
    """A message. `size` is the payload's, of which at most `MAX_PAYLOAD` bytes are here."""

    topic: bytes
    payload: bytes
    size: int
    qos: int
    mid: int


class Lost(Exception):
    """There is no connection, or no longer. `str()` is for an operator, and holds no password."""


class Address(NamedTuple):
    """Where the broker is, and who we are to it."""

    host: str
    port: int
    tls: bool
    user: str | None
    password: str | None


def address_of(settings: MqttSettings) -> Address:
    """`mqtt.url` in its parts. Raises ValueError, OSError (the password file)."""
    parts = urlsplit(settings.url)
    tls = parts.scheme == "mqtts"
    if not parts.hostname:
        raise ValueError("mqtt.url names no host")
    password = unquote(parts.password) if parts.password is not None else None
    if settings.password_file is not None:
        password = settings.password_file.read_text().strip()
    port = parts.port or (TLS_PORT if tls else PLAIN_PORT)
    return Address(parts.hostname, port, tls, unquote(parts.username) if parts.username else None, password)


def require_mqtt(settings: MqttSettings) -> None:
    """Raises ValueError, saying what to do, when aiomqtt is not installed or the settings lead nowhere."""
    try:
        import aiomqtt  # noqa: F401
    except ImportError:
        raise ValueError(MISSING) from None
    if version("aiomqtt").partition(".")[0] != "2":  # there is no paho within another one
        raise ValueError(MISSING)
    try:
        address_of(settings)
    except OSError as problem:
        raise ValueError(f"mqtt.password_file: {problem}") from None


class Link:
    """An open connection; made by `connected`. Belongs to one event loop."""

    def __init__(self, client: "aiomqtt.Client") -> None:
        self._client = client
        self._paho = client._client
        self._arrived: asyncio.Queue[Arrived] = asyncio.Queue()
        self.dropped = 0
        self._paho.manual_ack_set(True)
        self._paho.on_message = self._on_message

    def _on_message(self, _client: object, _userdata: object, message: Any) -> None:
        if message.qos == 0 and self._arrived.qsize() >= MAX_WAITING:
            self.dropped += 1
            return
        payload: bytes = message.payload
        self._arrived.put_nowait(
            Arrived(message._topic, payload[:MAX_PAYLOAD], len(payload), message.qos, message.mid)
        )

    async def next(self) -> Arrived:
        """The next message, when there is one."""
        return await self._arrived.get()

    def acknowledge(self, arrived: Arrived) -> None:
        """Tell the broker to forget this message. MQTT wants it in the order of arrival."""
        if arrived.qos:
            self._paho.ack(arrived.mid, arrived.qos)

    async def subscribe(self, topic: str) -> None:
        """With QoS 1; what is retained is sent with the first subscription of a session alone. Raises Lost."""
        from paho.mqtt.subscribeoptions import SubscribeOptions

        options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
        with _as_lost():
            codes = await self._client.subscribe(topic, options=options)
        if any(getattr(code, "is_failure", False) for code in codes):
            raise Lost(f"the broker refuses the subscription to {topic}: let this user read it (access list)")

    async def publish(self, topic: str, payload: bytes, qos: int) -> None:
        """Never retained. Waits until the broker has it (QoS 1). Raises Lost."""
        with _as_lost():
            await self._client.publish(topic, payload, qos)

    async def until_lost(self) -> None:
        """Raises Lost when the connection has ended."""
        with _as_lost():
            await asyncio.shield(self._client._disconnected)
        raise Lost("the broker closed the connection")


@contextlib.asynccontextmanager
async def connected(settings: MqttSettings) -> AsyncIterator[Link]:
    """Connect, with a session that lives on at the broker. Raises Lost, ValueError, OSError."""
    import aiomqtt
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    address = address_of(settings)
    wishes = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    wishes.SessionExpiryInterval = int(settings.session_for.total_seconds())
    wishes.ReceiveMaximum = MAX_UNACKED
    wishes.MaximumPacketSize = MAX_PACKET
    client = aiomqtt.Client(
        address.host,
        address.port,
        username=address.user,
        password=address.password,
        identifier=settings.client_id,
        protocol=aiomqtt.ProtocolVersion.V5,
        clean_start=False,
        keepalive=_KEEP_ALIVE_S,
        properties=wishes,
        tls_context=ssl.create_default_context(cafile=settings.ca) if address.tls else None,
    )
    link = Link(client)
    with _as_lost():
        await client.__aenter__()
    try:
        yield link
    finally:
        with contextlib.suppress(aiomqtt.MqttError, OSError):
            await client.__aexit__(None, None, None)


@contextlib.contextmanager
def _as_lost() -> Iterator[None]:
    import aiomqtt

    try:
        yield
    except (aiomqtt.MqttError, OSError, ssl.SSLError) as problem:
        raise Lost(str(problem) or type(problem).__name__) from problem
