"""The connection to the broker, as far as it needs none."""

import sys
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from majung.serve.mqtt.link import MAX_PAYLOAD, MAX_WAITING, Address, Link, address_of, require_mqtt
from majung.serve.mqtt.phones import configuration
from majung.settings import MqttSettings
from majung.settings_doc import as_text


def settings(**given: Any) -> MqttSettings:
    return MqttSettings.model_validate(given)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("mqtt://broker", Address("broker", 1883, False, None, None)),
        ("mqtts://majung:p%40ss@broker", Address("broker", 8883, True, "majung", "p@ss")),
        ("mqtt://majung@[::1]:1999", Address("::1", 1999, False, "majung", None)),
    ],
)
def test_the_parts_of_an_address(url: str, address: Address) -> None:
    assert address_of(settings(url=url)) == address


def test_the_password_out_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from a file\n")
    found = address_of(settings(url="mqtt://majung:other@broker", password_file=tmp_path / "secret"))
    assert found.password == "from a file"
    with pytest.raises(ValueError, match="password_file"):
        require_mqtt(settings(url="mqtt://majung@broker", password_file=tmp_path / "none"))


@pytest.mark.parametrize("url", ["http://broker", "broker:1883", "mqtt://two words"])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ValueError, match="url"):
        settings(url=url)


def test_an_address_without_a_host() -> None:
    with pytest.raises(ValueError, match="no host"):
        require_mqtt(settings(url="mqtt://:1883"))


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiomqtt", None)
    with pytest.raises(ValueError, match=r"pip install 'majung\[mqtt\]'"):
        require_mqtt(settings(url="mqtt://broker"))


class Around:
    """What aiomqtt is for the link: something that holds a paho client."""

    def __init__(self) -> None:
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)


async def test_what_nobody_acknowledges_is_bounded_and_the_rest_is_never_dropped() -> None:
    link = Link(around := Around())  # type: ignore[arg-type]
    deliver = around._client.on_message
    assert deliver is not None
    for number in range(MAX_WAITING + 10):
        message = paho.MQTTMessage(mid=number, topic=b"owntracks/u/d")
        message.payload = b"x"
        deliver(around._client, None, message)
    assert link.dropped == 10
    certain = paho.MQTTMessage(mid=7, topic=b"owntracks/\xff/d")  # no UTF-8: read all the same
    certain.qos, certain.payload = 1, b"y" * (MAX_PAYLOAD + 1)
    deliver(around._client, None, certain)
    assert link.dropped == 10
    taken = [await link.next() for _ in range(MAX_WAITING + 1)]
    last = taken[-1]
    assert (last.qos, last.mid, last.size, len(last.payload)) == (1, 7, MAX_PAYLOAD + 1, MAX_PAYLOAD)
    assert last.topic == b"owntracks/\xff/d"


def test_a_phone_is_configured_only_where_there_is_a_broker_and_a_topic_for_it() -> None:
    assert configuration(settings(), "u", "phone") is None
    public = settings(public_url="mqtt://broker.example:1884")
    assert configuration(public, "a+b", "phone") is None
    assert configuration(public, "a", "phone") is not None


def test_the_password_is_not_shown_among_the_settings() -> None:
    assert as_text("mqtts://majung:p@ss@broker:8883") == "mqtts://majung:…@broker:8883"
    assert as_text("mqtt://majung@broker") == "mqtt://majung@broker"
    assert as_text("https://example.com/a:b@c") == "https://example.com/a:b@c"
