"""Phones that report over a real Mosquitto, with the configuration and the access list that are shipped."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.friends_kit import Person, people
from tests.mosquitto_kit import PATIENCE_S, Broker, Phone, figure, fix, start_broker
from tests.server import Server, start_server

HERE = (37.4979, 127.0276)


@pytest.fixture(scope="module")
def broker(mosquitto: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    folder = tmp_path_factory.mktemp("mosquitto")
    users = (
        "rider-1",
        "rider-2",
        "rider-3",
        "unheard-of",
        "carol",
        *(f"앨리스-{n:05d}" for n in range(1, 8)),
    )
    with start_broker(mosquitto, folder, *users) as running:
        yield running


@pytest.fixture(scope="module")
def server(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    sets = (f"mqtt.url={broker.url()}", "mqtt.public_url=mqtts://broker.example")
    with start_server(tmp_path_factory.mktemp("mqtt") / "data", *sets) as running:
        wait_connected(running)
        yield running


@pytest.fixture(scope="module")
def alices(server: Server) -> list[Person]:
    """Seven people of whom each is a user of the broker."""
    return people(server, 7, "앨리스-")


def metrics(server: Server) -> str:
    return httpx.get(f"{server.url}/metrics", timeout=PATIENCE_S).text


def eventually(holds: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if found := holds():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {PATIENCE_S} s: {what}")


def wait_connected(server: Server) -> None:
    eventually(lambda: figure(metrics(server), "majung_mqtt_connected") == 1, "connected to the broker")


def messages(server: Server, outcome: str) -> float:
    return figure(metrics(server), f'majung_mqtt_messages_total{{outcome="{outcome}"}}')


def add_device(server: Server, rider_id: str) -> None:
    answer = httpx.post(
        f"{server.url}/v1/accounts/devices",
        headers=server.admin,
        json={"rider_id": rider_id},
        timeout=PATIENCE_S,
    )
    assert answer.status_code == 201, answer.text


def wait_taken(server: Server, before: float, count: int) -> None:
    eventually(lambda: messages(server, "acknowledged") >= before + count, f"{count} messages taken")


def track(server: Server, rider_id: str) -> list[dict[str, Any]]:
    points: list[dict[str, Any]] = server.get(f"/v1/riders/{rider_id}/track")["points"]
    return points


# ------------------------------------------------------------------------------------------------ in


def test_a_riders_phone_reports_and_a_resend_is_one_position(broker: Broker, server: Server) -> None:
    add_device(server, "rider-1")
    before = messages(server, "acknowledged")
    report = fix(*HERE)
    with Phone(broker, "rider-1") as phone:
        phone.publish(report)
        phone.publish(report)  # as after a lost acknowledgement
        phone.publish(report, qos=0)
        phone.publish(fix(37.4980, 127.0277, report["tst"] + 10), qos=2)
        wait_taken(server, before, 4)
    server.wait_processed()
    assert [(one["latitude"], one["session_id"]) for one in track(server, "rider-1")] == [
        (37.4979, "owntracks:phone"),
        (37.4980, "owntracks:phone"),
    ]


def test_the_topic_says_who_it_is_and_the_payload_does_not(broker: Broker, server: Server) -> None:
    add_device(server, "rider-2")
    before = messages(server, "acknowledged")
    with Phone(broker, "rider-2") as phone:
        phone.publish(fix(*HERE, topic="owntracks/rider-1/phone", tid="r1"))
        wait_taken(server, before, 1)
    server.wait_processed()
    assert len(track(server, "rider-2")) == 1


def test_what_is_no_position_is_taken_and_what_cannot_be_read_is_set_aside(
    broker: Broker, server: Server
) -> None:
    add_device(server, "rider-3")
    before = messages(server, "acknowledged")
    aside = len(server.get("/v1/quarantine", rider_id="rider-3")["items"])
    with Phone(broker, "rider-3") as phone:
        for nothing in (
            b"",
            {"_type": "lwt", "tst": 1},
            {"_type": "waypoint", "desc": "home", "lat": 1.0, "lon": 2.0, "tst": 1},
            {"_type": "status"},
        ):
            phone.publish(nothing)
        phone.publish({"_type": "encrypted", "data": "abc"})
        phone.publish(b"\xff\xfe not JSON")
        phone.publish(fix(0.0, 0.0))
        phone.publish(b"x" * 1_000_000)
        phone.publish(fix(*HERE), retain=True)
        wait_taken(server, before, 9)
    server.wait_processed()
    assert len(track(server, "rider-3")) == 1

    def shown() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = server.get("/v1/quarantine", rider_id="rider-3")["items"]
        return found if len(found) == aside + 4 else []

    items = eventually(shown, "four in quarantine")
    assert {item["reason"] for item in items} == {"no_position", "malformed", "null_island"}
    assert any("1000000 bytes" in item["detail"] for item in items)


def test_a_user_whom_nobody_knows_is_set_aside_without_what_it_said(broker: Broker, server: Server) -> None:
    before = messages(server, "unknown")
    with Phone(broker, "unheard-of") as phone:
        phone.publish(fix(*HERE))
    eventually(lambda: messages(server, "unknown") == before + 1, "counted")
    items = eventually(
        lambda: server.get("/v1/quarantine", rider_id="unheard-of")["items"], "shown in quarantine"
    )
    assert items[0]["door"] == "mqtt"
    assert "owntracks/unheard-of/phone" in items[0]["detail"]
    assert items[0]["payload"] == ""
    add_device(server, "unheard-of")

    def appears() -> bool:
        with Phone(broker, "unheard-of") as phone:
            phone.publish(fix(*HERE, int(time.time())))
        server.wait_processed()
        return bool(track(server, "unheard-of"))

    eventually(appears, "known soon after it was added")


def test_a_name_that_is_a_person_and_a_rider_is_nobodys(
    broker: Broker, server: Server, alices: list[Person]
) -> None:
    person = alices[4]
    add_device(server, person.name)
    before = messages(server, "unknown")
    with Phone(broker, person.name) as phone:
        phone.publish(fix(*HERE))
    eventually(lambda: messages(server, "unknown") == before + 1, "set aside")
    items = eventually(
        lambda: server.get("/v1/quarantine", rider_id=person.name)["items"], "shown in quarantine"
    )
    assert "more than one" in items[0]["detail"]
    assert person("GET", "/v1/friends/nearby")["here"] is None


def test_the_access_list_keeps_one_user_from_anothers_topics(broker: Broker, server: Server) -> None:
    before = messages(server, "received")
    with Phone(broker, "carol") as carol, Phone(broker, "rider-1") as rider:
        carol.subscribe(
            "friends/bob/+", "friends/+/+", "owntracks/+/+", "owntracks/#", "#", "friends/carol/+"
        )
        carol.publish(fix(1.0, 2.0), topic="owntracks/rider-1/phone")
        carol.publish(fix(1.0, 2.0), topic="friends/bob/x")
        rider.publish(fix(37.4981, 127.0278, int(time.time()) + 1))
        eventually(lambda: messages(server, "received") == before + 1, "the rider's own report alone")
        with Phone(broker, "majung", "tests") as majung:
            majung.publish(b"{}", topic="friends/bob/y")
            majung.publish(b'"for carol"', topic="friends/carol/z")
            assert carol.next() == ("friends/carol/z", "for carol")  # and nothing before it
    server.wait_processed()
    assert all(one["latitude"] > 30 for one in track(server, "rider-1"))


def test_the_broker_takes_nobody_without_a_password(broker: Broker) -> None:
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="nobody")
    client.connect("127.0.0.1", broker.port)
    refused: list[Any] = []
    client.on_connect = lambda _c, _u, _f, code, _p: refused.append(code)
    while not refused:
        client.loop(1)
    assert refused[0].is_failure


def test_over_tls(broker: Broker, tmp_path: Path) -> None:
    sets = (f"mqtt.url={broker.url(tls=True)}", "mqtt.client_id=majung-tls")
    with start_server(tmp_path / "data", *sets, f"mqtt.ca={broker.ca}") as other:
        wait_connected(other)
    with start_server(tmp_path / "data", *sets) as other:
        eventually(lambda: "session ended" in other.tail(), "a certificate of a stranger is refused")
        assert figure(metrics(other), "majung_mqtt_connected") == 0


def test_the_broker_away_disturbs_nothing_and_comes_back(mosquitto: str, tmp_path: Path) -> None:
    with (
        start_broker(mosquitto, tmp_path / "broker", "rider-1") as broker,
        start_server(tmp_path / "data", f"mqtt.url={broker.url()}") as server,
    ):
        add_device(server, "rider-1")
        wait_connected(server)
        broker.stop()
        eventually(lambda: figure(metrics(server), "majung_mqtt_connected") == 0, "away")
        assert httpx.get(f"{server.url}/readyz").status_code == 200
        broker.start()
        with Phone(broker, "rider-1") as phone:
            phone.publish(fix(*HERE))  # the session is there before its owner is
        eventually(lambda: messages(server, "acknowledged") == 1, "taken after the broker's return")
        server.wait_processed()
        assert len(track(server, "rider-1")) == 1
        assert figure(metrics(server), "majung_mqtt_connected") == 1


# ----------------------------------------------------------------------------------------------- out


def tag(person: Person) -> str:
    return person.id.removeprefix("person-")


def test_friends_come_to_the_phone_and_go(broker: Broker, server: Server, alices: list[Person]) -> None:
    alice, bob, carol = alices[:3]
    alice.befriend(bob, carol)
    bob.share("exact")
    alice("PATCH", "/v1/friends/me", {"radius_m": 400})
    topic = f"friends/{alice.name}/{tag(bob)}"
    with Phone(broker, alice.name) as phone, Phone(broker, bob.name) as other:
        phone.read_friends()
        phone.publish(fix(*HERE))
        cleared = {phone.next(), phone.next()}
        assert cleared == {(topic, None), (f"friends/{alice.name}/{tag(carol)}", None)}

        at_s = int(time.time()) - 60
        other.publish(fix(37.4985, 127.0280, at_s, batt=93, vel=30))
        where, card = phone.next()
        assert where == f"{topic}/info"
        assert (card["_type"], card["name"]) == ("card", bob("GET", "/v1/friends/me")["display_name"])
        where, place = phone.next()
        assert where == topic
        assert place == {
            "_type": "location",
            "tid": card["tid"],
            "topic": topic,
            "lat": 37.4985,
            "lon": 127.028,
            "tst": at_s,
            "acc": 12,
        }

        other.publish(fix(37.4990, 127.0285, at_s + 1))
        where, place = phone.next()
        assert (where, place["lat"]) == (topic, 37.499)  # no card again

        other.publish(fix(37.5030, 127.0285, at_s + 21))  # 570 m away
        assert phone.next() == (topic, None)
        other.publish(fix(37.4985, 127.0280, at_s + 41))
        assert [phone.next()[0] for _ in range(2)] == [f"{topic}/info", topic]

        bob("PATCH", "/v1/friends/me", {"ghost": True})
        assert phone.next() == (topic, None)
        before = messages(server, "acknowledged")
        other.publish(fix(37.4986, 127.0280, at_s + 42))
        wait_taken(server, before, 1)
        server.wait_processed()
        bob("PATCH", "/v1/friends/me", {"ghost": False})
        assert [phone.next()[0] for _ in range(2)] == [f"{topic}/info", topic]  # and nothing in between


def test_a_blurred_friend_is_a_circle_about_its_cell(
    broker: Broker, server: Server, alices: list[Person]
) -> None:
    alice, dave = alices[0], alices[3]
    alice.befriend(dave)
    alice("PATCH", "/v1/friends/me", {"radius_m": 8_000})
    dave.share("blurred", precision=5)
    topic = f"friends/{alice.name}/{tag(dave)}"
    with Phone(broker, alice.name) as phone, Phone(broker, dave.name) as other:
        phone.read_friends()
        phone.publish(fix(37.5001, 127.0401))
        other.publish(fix(37.5001, 127.0401))

        def told() -> Any:
            where, what = phone.next()
            return what if where == topic and what else None

        place = eventually(told, "the blurred friend")
    blurred = alice("GET", f"/v1/friends/{dave.id}/position")
    assert (place["lat"], place["lon"]) == (round(blurred["latitude"], 7), round(blurred["longitude"], 7))
    assert place["tst"] * 1000 == blurred["device_time_ms"]
    assert (place["lat"], place["lon"]) != (37.5001, 127.0401)
    assert 3_000 < place["acc"] < 3_500  # half the diagonal of 3.9 × 4.9 km


def test_nothing_of_friends_is_retained(broker: Broker, server: Server, alices: list[Person]) -> None:
    alice = alices[0]
    with Phone(broker, "majung", "tests") as majung, Phone(broker, alice.name, "late") as phone:
        phone.read_friends()
        majung.publish(b'"the end"', topic=f"friends/{alice.name}/end")
        assert phone.next() == (f"friends/{alice.name}/end", "the end")


def test_a_user_whose_account_ends_is_told_nothing_more(
    broker: Broker, server: Server, alices: list[Person]
) -> None:
    alice, bob = alices[5], alices[6]
    alice.befriend(bob)
    bob.share("exact")
    topic = f"friends/{alice.name}/{tag(bob)}"
    with Phone(broker, alice.name) as phone, Phone(broker, bob.name) as other:
        phone.read_friends()
        phone.publish(fix(*HERE))
        assert phone.next() == (topic, None)
        other.publish(fix(*HERE))
        assert [phone.next()[0] for _ in range(2)] == [f"{topic}/info", topic]
        ended = httpx.delete(
            f"{server.url}/v1/accounts/users/{alice.name}", headers=server.admin, timeout=PATIENCE_S
        )
        assert ended.is_success, ended.text
        assert phone.next() == (topic, None)
        before = messages(server, "unknown")
        phone.publish(fix(*HERE))
        eventually(lambda: messages(server, "unknown") == before + 1, "nobody any more")
        other.publish(fix(37.4980, 127.0277))
        server.wait_processed()
        with Phone(broker, "majung", "tests") as majung:
            majung.publish(b'"the end"', topic=f"friends/{alice.name}/end")
        assert phone.next() == (f"friends/{alice.name}/end", "the end")


def test_a_phone_is_given_a_configuration_for_the_broker(alices: list[Person]) -> None:
    added = alices[2]("POST", "/v1/friends/devices", {"name": "폰"})
    config = added["mqtt_otrc"]
    assert (config["host"], config["port"], config["tls"]) == ("broker.example", 8883, True)
    assert (config["username"], config["deviceId"]) == (alices[2].name, "폰")
    assert config["subTopic"].split()[0] == f"friends/{alices[2].name}/+"
    assert "password" not in config
    assert added["mqtt_link"].startswith("owntracks:///config?inline=")


def test_a_friend_who_is_silent_is_taken_off_the_map(mosquitto: str, tmp_path: Path) -> None:
    with (
        start_broker(mosquitto, tmp_path / "broker", "p-00001", "p-00002") as broker,
        start_server(tmp_path / "data", f"mqtt.url={broker.url()}", "friends.gone_after=5s") as server,
    ):
        wait_connected(server)
        alice, bob = people(server, 2, "p-")
        alice.befriend(bob)
        bob.share("exact")
        topic = f"friends/{alice.name}/{tag(bob)}"
        with Phone(broker, alice.name) as phone, Phone(broker, bob.name) as other:
            phone.read_friends()
            phone.publish(fix(*HERE))
            other.publish(fix(*HERE))

            def shown() -> bool:
                return phone.next()[0] == f"{topic}/info"

            eventually(shown, "the friend")
            assert phone.next()[0] == topic
            assert phone.next() == (topic, None)  # and nobody has said anything
