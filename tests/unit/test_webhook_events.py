"""What webhooks tell: CloudEvents with listed fields alone, and signatures that others can check."""

import json
import time

import msgspec
import pytest

from majung.orders.model import Command, Order, Proof
from majung.positions.triggers import EventKind, RiderEvent
from majung.webhooks import schedule, signing
from majung.webhooks.events import (
    ORDER_TYPES,
    RIDER_TYPES,
    TYPES,
    OrderData,
    chosen_types,
    of_order,
    of_rider,
    order_data,
)
from tests.order_views_kit import CODE, event, story


def test_every_command_and_kind_has_a_type() -> None:
    assert set(ORDER_TYPES) == {"", *Command}
    assert set(RIDER_TYPES) == set(EventKind)
    assert len(set(TYPES)) == len(TYPES)


def test_a_new_field_of_an_order_is_told_to_nobody_until_somebody_decides_it() -> None:
    assert set(OrderData.__struct_fields__) == set(Order.__struct_fields__) - {"delivery_code"}


def test_the_delivery_code_is_nowhere() -> None:
    by_code = event(1, 7, proof=Proof("code", CODE))
    for one in [*story(1), by_code]:
        assert one.order.delivery_code == CODE
        assert CODE not in of_order(one, "/majung").body
    assert order_data(event(1, 7, proof=Proof("photo", "a.jpg")).order).proof == Proof("photo", "a.jpg")


def test_an_order_as_a_cloud_event() -> None:
    told = of_order(event(7, 2), "https://majung.example")
    document = json.loads(told.body)
    assert {name: document[name] for name in document if name != "data"} == {
        "specversion": "1.0",
        "id": "e-7-2",
        "source": "https://majung.example",
        "type": "majung.order.accepted.v1",
        "subject": "ord-0007",
        "time": "2026-05-28T20:26:40.002Z",
        "datacontenttype": "application/json",
    }
    data = document["data"]
    assert (data["order_id"], data["version"], data["actor"]) == ("ord-0007", 2, "admin")
    assert data["order"]["state"] == "COOKING"
    assert "actor_id" not in data
    assert set(told.keys) >= {"all:", "store:s1"}


def test_a_fence_event_is_for_who_may_see_every_rider() -> None:
    told = of_rider(
        RiderEvent("e1", "rider 7", "enter", "f1", "강남역", 1_780_000_000_000, 37.5, 127.0), "/m"
    )
    assert told.keys == ("all:",)
    assert json.loads(told.body)["data"]["fence_name"] == "강남역"


@pytest.mark.parametrize(
    ("patterns", "count"),
    [(("*",), len(TYPES)), (("majung.order.*",), 12), (("majung.*.enter.v1", "majung.order.placed.v1"), 2)],
)
def test_patterns_name_types(patterns: tuple[str, ...], count: int) -> None:
    assert len(chosen_types(patterns, of_store=False)) == count


@pytest.mark.parametrize("pattern", ["order.placed", "", "majung.order.paid.v1", "*[", "MAJUNG.*"])
def test_a_pattern_that_names_nothing_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="events:"):
        chosen_types((pattern,), of_store=False)


def test_a_store_is_not_told_of_riders() -> None:
    assert chosen_types(("*",), of_store=True) == frozenset(ORDER_TYPES.values())
    with pytest.raises(ValueError, match="names none"):
        chosen_types(("majung.rider.*",), of_store=True)


def test_the_signature_is_that_of_the_standard() -> None:
    """The example that the libraries of Standard Webhooks are tested with."""
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", '{"test": 2432232314}'
    made = signing.headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body, [secret])
    assert made["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_who_checks_a_signature_finds_what_is_wrong() -> None:
    secret, other = signing.new_secret(), signing.new_secret()
    now_s = int(time.time())
    body = '{"a":1}'
    made = signing.headers("e:1", now_s, body, [secret])
    signing.verify(secret, made, body.encode(), now_s)
    both = signing.headers("e:1", now_s, body, [other, secret])
    for one in (secret, other):
        signing.verify(one, both, body.encode(), now_s)
    wrong = [
        (other, made, body, now_s),
        (secret, made, '{"a":2}', now_s),
        (secret, {**made, "webhook-id": "e:2"}, body, now_s),
        (secret, {**made, "webhook-timestamp": str(now_s + 1)}, body, now_s),
        (secret, made, body, now_s + 301),
        (secret, {**made, "webhook-signature": made["webhook-signature"].replace("v1,", "v2,")}, body, now_s),
        (secret, {}, body, now_s),
    ]
    for key, headers, text, at_s in wrong:
        with pytest.raises(signing.BadSignature):
            signing.verify(key, headers, text.encode(), at_s)


def test_pauses_grow_and_are_spread() -> None:
    delays_s = (5.0, 300.0, 1_800.0)
    for attempts, wanted in ((1, 5.0), (2, 300.0), (3, 1_800.0), (9, 1_800.0)):
        found = {schedule.retry_s(delays_s, attempts) for _ in range(50)}
        assert all(wanted <= one <= wanted * 1.2 for one in found)
        assert len(found) > 1
    assert schedule.retry_s(delays_s, 1, retry_after_s=90.0) == 90.0
    assert [schedule.hold_s(failures) for failures in (1, 2)] == [0.0, 0.0]
    assert all(0.5 < schedule.hold_s(failures) <= 60.0 for failures in range(3, 100))


def test_retry_after_is_seconds_or_a_date() -> None:
    now_ms = 1_780_000_000_000  # 20:26:40
    told = {"120": 120.0, "Thu, 28 May 2026 20:27:10 GMT": 30.0, "Thu, 28 May 2026 20:20:00 GMT": 0.0}
    told |= {"soon": 0.0, "-5": 0.0, "99999999": 86_400.0, "": 0.0, "9" * 400: 0.0}
    for text, wanted in told.items():
        assert schedule.retry_after({"retry-after": text}, now_ms) == wanted, text
    assert schedule.retry_after({}, now_ms) == 0.0


def test_what_is_told_can_be_read_back() -> None:
    for one in story(3):
        data = json.loads(of_order(one, "/m").body)["data"]["order"]
        assert msgspec.convert(data, OrderData) == order_data(one.order)
