"""How a person's phone is told to use the broker."""

from urllib.parse import urlsplit

from majung.serve.mqtt.link import PLAIN_PORT, TLS_PORT
from majung.settings import MqttSettings
from majung.wire.owntracks_config import mqtt_config

WILD = frozenset("+#/\0")
"""What no name in a topic may hold."""


def configuration(settings: MqttSettings, user: str, device: str) -> bytes | None:
    """The configuration of OwnTracks for this user; None without a broker, or for a name that no topic can hold."""
    parts = urlsplit(settings.public_url)
    if not parts.hostname or WILD & set(user):
        return None
    tls = parts.scheme == "mqtts"
    port = parts.port or (TLS_PORT if tls else PLAIN_PORT)
    device = "".join(letter for letter in device if letter not in WILD)
    return mqtt_config(
        parts.hostname,
        port,
        tls,
        user,
        device=device,
        topic=settings.topic,
        friends_topic=settings.friends_topic,
    )
