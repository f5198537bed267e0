"""OwnTracks: a configuration that the app takes over when its user opens it.

As a file (`.otrc`, JSON) or as a link that holds the same in base64. A value that is not in it stays as it is.
Waypoints, commands from outside and retained positions are left off: a position that a broker retains is one
that nobody can take back.

Source: https://owntracks.org/booklet/tech/json (configuration) and
https://owntracks.org/booklet/features/remoteconfig
"""

import base64
from urllib.parse import quote

import msgspec

_MODE_MQTT, _MODE_HTTP = 0, 3
_STALE_DAYS = 1  # the app forgets a friend whom it has not heard of for so long


def http_config(url: str, username: str, password: str, device: str = "phone") -> bytes:
    """The app posts to `url`; friends come with the answers."""
    return _config(
        device,
        mode=_MODE_HTTP,
        url=url,
        auth=True,
        usePassword=True,
        username=username,
        password=password,
    )


def mqtt_config(
    host: str,
    port: int,
    tls: bool,
    username: str,
    password: str = "",
    device: str = "phone",
    topic: str = "owntracks",
    friends_topic: str = "friends",
) -> bytes:
    """The app publishes to TOPIC/USER/DEVICE and reads FRIENDS_TOPIC/USER/… of `username` alone.

    Without a password the app keeps the one that it has, or its user types it. The session stays at the
    broker while the phone is away, so that a friend who is no longer to be seen is taken off at its return.
    """
    mine = f"{friends_topic}/{username}"
    secret = {"password": password} if password else {}
    return _config(
        device,
        mode=_MODE_MQTT,
        host=host,
        port=port,
        tls=tls,
        auth=True,
        username=username,
        clientId=f"{username}-{device}",
        cleanSession=False,
        mqttProtocolLevel=4,
        keepalive=60,
        pubTopicBase=f"{topic}/%u/%d",
        pubQos=1,
        pubRetain=False,
        willRetain=False,
        sub=True,
        subTopic=f"{mine}/+ {mine}/+/info",
        subQos=1,
        **secret,
    )


def config_link(config: bytes) -> str:
    """The link that hands a configuration to the app on the phone where it is opened."""
    return "owntracks:///config?inline=" + quote(base64.b64encode(config).decode("ascii"), safe="")


def _config(device: str, **values: object) -> bytes:
    every = {
        "_type": "configuration",
        "deviceId": device,
        "tid": device[:2],
        "cmd": False,
        "remoteConfiguration": False,
        "ignoreStaleLocations": _STALE_DAYS,
    }
    return msgspec.json.format(msgspec.json.encode({**every, **values}), indent=1)
