"""Webhooks over the real server: an order is carried to the door, and others' servers are told."""

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from majung.webhooks.signing import BadSignature
from tests.paths.grpc_client import position, stream_positions
from tests.paths.test_orders import Caller, Four, problem
from tests.server import free_port, start_server
from tests.webhook_kit import LOOPBACK, Call, Receiver, Reply, receiving

DOCS = Path(__file__).resolve().parents[2] / "docs" / "webhooks.md"
SETS = (
    "delivery.open_sign_up=customer,rider,store",
    "delivery.sign_up_per_minute=1000",
    f"outward.allow_networks={LOOPBACK}",
    "webhooks.retries=200ms,500ms",
    "triggers.confirm_for=0s",
    "triggers.confirm_fixes=1",
)
PAST = ["placed", "accepted", "assigned", "ready", "picked_up", "departed", "delivered"]


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Four]:
    with start_server(tmp_path_factory.mktemp("webhooks") / "data", *SETS) as server:
        yield Four(server)


def wait(look: Callable[[], Any], within_s: float = 60) -> Any:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {within_s} s")


def add(who: Caller, url: str, **wish: Any) -> tuple[str, str]:
    made = who.post("/v1/webhooks", {"url": url, **wish})
    assert made.status_code == 201, made.text
    return made.json()["webhook"]["webhook_id"], made.json()["secret"]


def deliver(four: Four) -> dict[str, Any]:
    order = four.at_the_door()
    proof = {"proof": {"kind": "code", "ref": order["delivery_code"]}}
    assert four.rider.post(f"/v1/orders/{order['order_id']}/deliver", proof).status_code == 200
    return order


def of(receiver: Receiver, order_id: str) -> list[Call]:
    return [call for call in receiver.calls if call.event["subject"] == order_id]


def all_of(receiver: Receiver, order_id: str) -> list[Call]:
    wait(lambda: len(of(receiver, order_id)) >= len(PAST))
    return receiver.calls


def test_the_whole_order_is_told_signed_and_without_its_code(four: Four) -> None:
    with receiving() as till, receiving() as office, receiving() as strangers:
        hooks = [add(four.store, till.url), add(four.admin, office.url, events=["majung.order.*"])]
        add(four.other_store, strangers.url)
        order = deliver(four)
        for receiver, (_, secret) in zip((till, office), hooks, strict=True):
            calls = all_of(receiver, order["order_id"])
            assert [call.event["type"] for call in calls] == [f"majung.order.{past}.v1" for past in PAST]
            for version, call in enumerate(calls, 1):
                call.verify(secret, time.time())
                assert call.event["data"]["version"] == version
                assert order["delivery_code"] not in str(call.event["data"]["order"].get("proof"))
                assert "delivery_code" not in call.event["data"]["order"]
            with pytest.raises(BadSignature):
                calls[0].verify(hooks[0][1] if secret == hooks[1][1] else hooks[1][1], time.time())
        assert strangers.calls == []
        shown = four.store("GET", f"/v1/webhooks/{hooks[0][0]}").json()
        assert (shown["state"], shown["store_id"]) == ("active", four.store_id)
        assert "secret" not in shown
        problem(four.other_store("GET", f"/v1/webhooks/{hooks[0][0]}"), 404, "not-found")
        problem(four.customer("GET", "/v1/webhooks"), 403, "forbidden")
        for who, (webhook_id, _) in zip((four.store, four.admin), hooks, strict=True):
            assert who("DELETE", f"/v1/webhooks/{webhook_id}").status_code == 204
        metrics = httpx.get(f"{four.server.url}/metrics").text
        assert re.search(r'majung_webhook_attempts_total\{outcome="delivered"\} (1[4-9]|[2-9]\d)', metrics)


def test_a_fence_is_told_to_the_administrator(four: Four) -> None:
    with receiving() as office:
        add(four.admin, office.url, events=["majung.rider.enter.v1"])
        fence = {"name": "강남역", "circle": {"latitude": 37.4979, "longitude": 127.0276, "radius_m": 300}}
        assert four.admin.post("/v1/fences", fence).status_code == 201
        gateway = four.server.add_user("fleet", "gateway")["token"]
        stream_positions(
            four.server.grpc, gateway, [position(seq, rider_id="rider-0007") for seq in (1, 2, 3)]
        )
        (call,) = wait(lambda: office.calls)
        assert (call.event["subject"], call.event["data"]["fence_name"]) == ("rider-0007", "강남역")


def test_dead_letters_are_listed_and_replayed(four: Four) -> None:
    def answer(call: Call) -> Reply:
        return 503, {}

    with receiving(answer) as till:
        webhook_id, secret = add(four.store, till.url, description="the till")
        path = f"/v1/webhooks/{webhook_id}"
        order = four.place()
        wait(lambda: len(till.calls) >= 2)
        (waiting,) = four.store("GET", f"{path}/deliveries", params={"status": "waiting"}).json()[
            "deliveries"
        ]
        assert (waiting["http_status"], waiting["answer"]) == (503, "no, sorry")
        till.answer = lambda call: (410, {})
        wait(lambda: four.store("GET", path).json()["state"] == "disabled")
        problem(four.store.post(f"{path}/replay", {"status": "dead"}), 409, "conflict")
        till.answer = lambda call: (204, {})
        assert four.store("PATCH", path, json={"active": True}).json()["state"] == "active"
        (dead,) = four.store("GET", f"{path}/deliveries", params={"status": "dead"}).json()["deliveries"]
        assert dead["event_id"] in till.ids
        till.calls.clear()
        assert four.store.post(f"{path}/replay", {"deliveries": [dead["number"]]}).json() == {"replayed": 1}
        (call,) = wait(lambda: till.calls)
        call.verify(secret, time.time())
        assert call.event["subject"] == order["order_id"]
        assert four.store.post(f"{path}/ping").json()["ok"]
        entries = four.store("GET", f"{path}/audit").json()["entries"]
        assert {"created", "disabled", "changed", "replayed"} == {entry["what"] for entry in entries}
        four.end(order)


def test_bad_wishes_are_refused(four: Four) -> None:
    good = "https://shop.example/hook"
    bad: list[tuple[dict[str, Any], int]] = [
        ({"url": "http://shop.example:0/"}, 400),
        ({"url": "https://10.1.2.3/"}, 400),
        ({"url": "https://user:password@shop.example/"}, 400),
        ({"url": "file:///etc/passwd"}, 400),
        ({"url": good, "events": []}, 400),
        ({"url": good, "events": ["majung.rider.*"]}, 400),
        ({"url": good, "events": ["*"] * 31}, 400),
        ({"url": good, "description": "x" * 201}, 400),
        ({"url": good, "secret": "mine"}, 400),
        ({"url": good, "description": "\u0000"}, 400),
    ]
    for wish, status in bad:
        assert four.store.post("/v1/webhooks", wish).status_code == status, wish
    webhook_id, _ = add(four.store, good)
    path = f"/v1/webhooks/{webhook_id}"
    for body in ({}, {"deliveries": list(range(501))}, {"status": "lost"}, {"from_ms": 10**30}):
        assert four.store.post(f"{path}/replay", body).status_code == 400, body
    assert four.store("PATCH", path, json={"url": "http://10.0.0.1/"}).status_code == 400
    assert four.store("GET", path).json()["url"] == good
    assert four.store("GET", f"{path}/deliveries", params={"limit": 0}).status_code == 400
    assert four.store("DELETE", path).status_code == 204


def test_the_receiver_of_the_documentation_takes_what_is_sent(four: Four, tmp_path: Path) -> None:
    found = re.search(r"```python\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    assert found
    program = tmp_path / "receiver.py"
    program.write_text(found[1])
    port = free_port()
    webhook_id, secret = add(four.admin, f"http://127.0.0.1:{port}/hook", events=["majung.order.*"])
    path = f"/v1/webhooks/{webhook_id}"
    done = {"status": "done", "from_ms": 0}
    order: dict[str, Any] = {}
    for key, wanted in ((secret, 204), ("whsec_" + "A" * 44, 401)):
        receiver = subprocess.Popen(
            [sys.executable, str(program), str(port), key], stdout=subprocess.PIPE, text=True
        )
        try:
            answer = wait(lambda: (got := four.admin.post(f"{path}/ping").json())["http_status"] and got)
            assert answer["http_status"] == wanted
            if wanted == 204:
                order = four.place()
                assert wait(lambda: four.admin.post(f"{path}/replay", done).json()["replayed"]) == 1
                wait(lambda: not four.admin("GET", path).json().get("waiting"))
                four.end(order)
        finally:
            receiver.terminate()
            told = receiver.communicate(timeout=60)[0]
        if wanted == 204:
            assert told.count(f"{order['order_id']} is RECEIVED (version 1)") == 1, "once in effect"


def test_orders_and_dispatch_say_how_they_do(four: Four) -> None:
    order = four.at_the_door()
    assert (
        four.store.post(f"/v1/orders/{order['order_id']}/accept", {"cooking_minutes": 5}).status_code == 409
    )
    four.end(order)
    text = httpx.get(f"{four.server.url}/metrics").text
    for wanted in (
        r'majung_order_writes_total\{outcome="done"\} [1-9]',
        r'majung_order_writes_total\{outcome="conflict"\} [1-9]',
        r'majung_order_changes_total\{command="pick_up"\} [1-9]',
        r"majung_order_viewers 0",
        r"majung_dispatch_riders_free 0",
        r"majung_dispatch_match_seconds_count [1-9]",
    ):
        assert re.search(wanted, text), wanted
