"""What OwnTracks is told of friends, and how its app is set up."""

import base64
import io
import json
import struct
import zlib
from urllib.parse import parse_qs, urlsplit

from majung.wire import owntracks
from majung.wire.identity import Sender
from majung.wire.owntracks_config import config_link, http_config, mqtt_config
from majung.wire.owntracks_face import face_of


def test_a_location_is_what_the_apps_read() -> None:
    told = json.loads(
        owntracks.encode_location("b7", "owntracks/http/b7", 37.49790001, 127.0276, 1_616_985_985_999, 4.2)
    )
    assert told == {
        "_type": "location",
        "tid": "b7",
        "topic": "owntracks/http/b7",
        "lat": 37.4979,
        "lon": 127.0276,
        "tst": 1_616_985_985,  # whole seconds: the iOS app takes no others
        "acc": 5,
    }
    assert all(isinstance(told[name], int) for name in ("tst", "acc"))


def test_an_unknown_accuracy_is_left_out() -> None:
    told = json.loads(owntracks.encode_location("b7", "t", 1.0, 2.0, 1_000, None))
    assert "acc" not in told


def test_nothing_else_is_said_of_a_friend() -> None:
    told = json.loads(owntracks.encode_location("b7", "t", 1.0, 2.0, 1_000, 3.0))
    assert set(told) == {"_type", "tid", "topic", "lat", "lon", "tst", "acc"}


def test_a_card_has_a_name_and_a_face() -> None:
    told = json.loads(owntracks.encode_card("b7", "owntracks/http/b7", '민준 "M"', face_of("person-b7")))
    assert told["_type"] == "card"
    assert (told["tid"], told["topic"], told["name"]) == ("b7", "owntracks/http/b7", '민준 "M"')
    assert told["face"] == face_of("person-b7")


def test_the_answer_is_an_array() -> None:
    parts = [
        owntracks.encode_card("a", "t/a", "A", "f"),
        owntracks.encode_location("a", "t/a", 1, 2, 3, None),
    ]
    assert [one["_type"] for one in json.loads(owntracks.encode_answer(parts))] == ["card", "location"]
    assert owntracks.encode_answer([]) == owntracks.ANSWER


def test_what_is_told_is_no_position_when_an_app_sends_it_back() -> None:
    """A card that comes in is accepted and is nothing."""
    sender = Sender(rider_id="person-1")
    assert owntracks.decode(owntracks.encode_card("a", "t/a", "A", "f"), sender, 0) == []


def test_a_face_is_a_png_of_192_pixels_and_always_the_same() -> None:
    image = base64.b64decode(face_of("person-1"), validate=True)
    assert face_of("person-1") == face_of("person-1") != face_of("person-2")
    assert len(image) < 600
    chunks = _chunks(image)
    assert [kind for kind, _ in chunks] == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
    assert struct.unpack(">IIBBBBB", chunks[0][1]) == (192, 192, 1, 3, 0, 0, 0)
    pixels = zlib.decompress(chunks[2][1])
    assert len(pixels) == 192 * (1 + 192 // 8)
    for line in range(192):
        row = pixels[line * 25 : line * 25 + 25]
        assert row[0] == 0  # no filter
        bits = f"{int.from_bytes(row[1:], 'big'):0192b}"
        assert bits == bits[::-1]


def _chunks(image: bytes) -> list[tuple[bytes, bytes]]:
    stream = io.BytesIO(image)
    assert stream.read(8) == b"\x89PNG\r\n\x1a\n"
    found = []
    while header := stream.read(8):
        length, kind = struct.unpack(">I4s", header)
        data = stream.read(length)
        assert struct.unpack(">I", stream.read(4))[0] == zlib.crc32(kind + data)
        found.append((kind, data))
    return found


def test_a_configuration_for_http() -> None:
    config = json.loads(http_config("https://track.example/owntracks", "민준", "mjd_x_y", "my phone"))
    assert config["_type"] == "configuration"
    assert config["mode"] == 3
    assert (config["url"], config["username"], config["password"]) == (
        "https://track.example/owntracks",
        "민준",
        "mjd_x_y",
    )
    assert config["auth"] is True
    assert config["deviceId"] == "my phone"


def test_a_configuration_for_mqtt_reads_its_own_friends_and_no_others() -> None:
    config = json.loads(mqtt_config("broker.example", 8883, True, "minjun", topic="ot", friends_topic="f"))
    assert (config["mode"], config["host"], config["port"], config["tls"]) == (
        0,
        "broker.example",
        8883,
        True,
    )
    assert config["subTopic"].split() == ["f/minjun/+", "f/minjun/+/info"]
    assert config["pubTopicBase"] == "ot/%u/%d"
    assert config["pubQos"] == 1
    assert config["pubRetain"] is False
    assert config["cleanSession"] is False
    assert "password" not in config


def test_the_link_holds_the_configuration() -> None:
    config = http_config("https://track.example/owntracks?a=1&b=+", "u", "p>>>???")
    link = urlsplit(config_link(config))
    assert (link.scheme, link.path) == ("owntracks", "/config")
    (inline,) = parse_qs(link.query, strict_parsing=True)["inline"]
    assert base64.b64decode(inline, validate=True) == config
