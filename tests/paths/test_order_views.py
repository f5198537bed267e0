"""What people read of orders, from a real server: their own, at once, live, and after a crash."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.order_views_kit import Page
from tests.paths.grpc_client import position, stream_positions
from tests.paths.test_orders import Caller, Four
from tests.server import start_server

WITHIN_S = 60.0
BESIDE = ("notice", "eta")


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Four]:
    sets = ("delivery.open_sign_up=customer,rider,store", "delivery.sign_up_per_minute=1000")
    with start_server(tmp_path_factory.mktemp("views") / "data", *sets) as server:
        yield Four(server)


@pytest.fixture
def order(four: Four) -> Iterator[dict[str, Any]]:
    placed = four.place()
    yield placed
    four.end(placed)


def address(caller: Caller, path: str) -> str:
    token = caller._headers["Authorization"].removeprefix("Bearer ")
    return f"{caller._url.replace('http', 'ws', 1)}{path}{'&' if '?' in path else '?'}access_token={token}"


async def until(socket: ClientConnection, kind: str) -> list[dict[str, Any]]:
    """Messages up to the first of that kind, without those that tests of their own look at."""
    messages: list[dict[str, Any]] = []
    while not messages or messages[-1]["type"] != kind:
        message = json.loads(await asyncio.wait_for(socket.recv(), WITHIN_S))
        if message["type"] not in BESIDE:
            messages.append(message)
    return messages


def test_one_reads_ones_own_write(four: Four, order: dict[str, Any]) -> None:
    path = f"/v1/orders/{order['order_id']}"
    assert four.customer("GET", path, params={"at_least_version": 1}).json() == order
    accepted = four.store.post(f"{path}/accept", {"cooking_minutes": 7}).json()
    read = four.store("GET", path, params={"at_least_version": accepted["version"]}).json()
    assert (read["version"], read["state"], read["cooking_minutes"]) == (2, "COOKING", 7)


def test_who_may_read_what(four: Four, order: dict[str, Any]) -> None:
    path = f"/v1/orders/{order['order_id']}"
    assert four.customer("GET", path, params={"at_least_version": 1}).status_code == 200
    everybody = {
        "customer": four.customer, "stranger": four.stranger, "store": four.store,
        "other_store": four.other_store, "rider": four.rider, "admin": four.admin,
    }  # fmt: skip

    def statuses(path: str) -> dict[str, int]:
        return {name: caller("GET", path).status_code for name, caller in everybody.items()}

    assert statuses(path) == {
        "customer": 200, "stranger": 404, "store": 200, "other_store": 404, "rider": 404, "admin": 200,
    }  # fmt: skip
    assert statuses(f"{path}/audit") == {name: 200 if name == "admin" else 403 for name in everybody}
    assert statuses(f"/v1/stores/{four.store_id}/board") == {
        name: 200 if name in ("store", "admin") else 403 for name in everybody
    }
    assert statuses("/v1/riders/me/job") == {name: 200 if name == "rider" else 403 for name in everybody}
    assert statuses(f"{path}/rider") == {
        name: 403 if name in ("store", "other_store") else 404 for name in everybody
    }
    codes = {
        name: everybody[name]("GET", path).json()["delivery_code"] for name in ("customer", "store", "admin")
    }
    assert codes["store"] == "" and codes["customer"] == codes["admin"] == order["delivery_code"] != ""
    listed = {
        name: order["order_id"] in [one["order_id"] for one in caller("GET", "/v1/orders").json()["orders"]]
        for name, caller in everybody.items()
    }
    assert {name for name, is_listed in listed.items() if is_listed} == {"customer", "store", "admin"}
    board = four.store("GET", f"/v1/stores/{four.store_id}/board").json()
    assert order["order_id"] in [one["order_id"] for one in board["orders"]]
    for closed in (path, "/v1/orders", "/v1/orders/events"):
        assert httpx.get(four.server.url + closed).status_code == 401


def test_search_and_audit(four: Four, order: dict[str, Any]) -> None:
    path = f"/v1/orders/{order['order_id']}"
    four.store.post(f"{path}/reject", {"reason": "out of noodles"})
    four.admin("GET", path, params={"at_least_version": 2})
    trail = four.admin("GET", f"{path}/audit").json()["events"]
    assert [(one["version"], one["command"], one["actor"]) for one in trail] == [
        (1, "", "customer"),
        (2, "reject", "store"),
    ]
    found = four.admin("GET", "/v1/orders", params={"state": "REJECTED", "q": "칼국수", "open": False}).json()
    assert [one["order_id"] for one in found["orders"]] == [order["order_id"]]
    assert four.admin("GET", "/v1/orders", params={"stuck_minutes": 600}).json()["orders"] == []
    assert four.admin("GET", "/v1/orders", params={"state": "LOST"}).status_code == 400


async def test_live_for_all_four_and_the_rider_for_the_customer(four: Four) -> None:
    async with (
        connect(address(four.customer, "/v1/orders/live")) as mine,
        connect(address(four.stranger, "/v1/orders/live")) as strangers,
        connect(address(four.store, "/v1/orders/live")) as stores,
        connect(address(four.rider, "/v1/orders/live")) as riders,
        connect(address(four.admin, "/v1/orders/live")) as admins,
    ):
        sockets = (mine, strangers, stores, riders, admins)
        for socket in sockets:
            await until(socket, "snapshot")
        order = await asyncio.to_thread(four.at_the_door)
        path = f"/v1/orders/{order['order_id']}"
        seen = {}
        for name, socket in (("customer", mine), ("store", stores), ("admin", admins), ("rider", riders)):
            page = Page()
            while page.versions.get(order["order_id"], [0])[-1] < 6:
                page.apply(await until(socket, "order"))
            seen[name] = page.versions[order["order_id"]]
        assert seen == {
            "customer": [1, 2, 3, 4, 5, 6],
            "store": [1, 2, 3, 4, 5, 6],
            "admin": [1, 2, 3, 4, 5, 6],
            "rider": [3, 4, 5, 6],
        }
        assert (await asyncio.to_thread(four.rider, "GET", "/v1/riders/me/job")).json()["order"][
            "version"
        ] == 6

        fleet = (await asyncio.to_thread(four.server.add_user, "fleet", "gateway"))["token"]
        fixes = [position(seq, rider_id=rider) for rider in (four.rider_id, four.rider2_id) for seq in (1, 2)]
        await asyncio.to_thread(stream_positions, four.server.grpc, fleet, fixes)
        message = (await until(mine, "rider"))[-1]
        assert message["order_id"] == order["order_id"]
        assert message["position"]["rider_id"] == four.rider_id
        await asyncio.to_thread(four.server.wait_processed)
        answers = [
            await asyncio.to_thread(who, "GET", f"{path}/rider") for who in (four.customer, four.stranger)
        ]
        assert [answer.status_code for answer in answers] == [200, 404]
        assert answers[0].json()["rider_id"] == four.rider_id

        body = {"proof": {"kind": "code", "ref": order["delivery_code"]}}
        done = await asyncio.to_thread(four.rider.post, f"{path}/deliver", body)
        assert done.status_code == 200, done.text
        assert (await until(mine, "order"))[-1]["order"]["state"] == "DELIVERED"
        assert (await asyncio.to_thread(four.customer, "GET", f"{path}/rider")).status_code == 404
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(strangers.recv(), 0.2)


async def test_it_comes_back_without_a_gap_and_narrowed(four: Four, order: dict[str, Any]) -> None:
    page = Page()
    async with connect(address(four.customer, "/v1/orders/live")) as socket:
        page.apply(await until(socket, "snapshot"))
        while order["order_id"] not in page.orders:
            page.apply(await until(socket, "order"))
    await asyncio.to_thread(four.store.post, f"/v1/orders/{order['order_id']}/accept", {"cooking_minutes": 5})
    back = f"/v1/orders/live?epoch={page.epoch}&offset={page.offset}"
    async with connect(address(four.customer, back)) as socket:
        messages = await until(socket, "order")
        assert [message["type"] for message in messages] == ["resumed", "order"]
        assert messages[1]["order"]["version"] == 2
    async with connect(address(four.admin, f"/v1/orders/live?order_id={order['order_id']}")) as socket:
        snapshot = (await until(socket, "snapshot"))[-1]
        assert [one["order_id"] for one in snapshot["orders"]] == [order["order_id"]]
    answer = httpx.get(
        f"{four.server.url}/v1/orders/events?store_id={four.store_id}", headers=four.customer._headers
    )
    assert answer.status_code == 403


async def _events(answer: httpx.Response) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    event_id = ""
    async for line in answer.aiter_lines():
        if line.startswith("id: "):
            event_id = line[4:]
        elif line.startswith("data: ") and (message := json.loads(line[6:]))["type"] not in BESIDE:
            yield event_id, message


async def test_server_sent_events_resume_by_last_event_id(four: Four, order: dict[str, Any]) -> None:
    url = f"{four.server.url}/v1/orders/events"
    async with httpx.AsyncClient(timeout=WITHIN_S, headers=four.customer._headers) as client:
        async with client.stream("GET", url) as answer:
            event_id, message = await anext(_events(answer))
            assert message["type"] == "snapshot"
        await asyncio.to_thread(
            four.store.post, f"/v1/orders/{order['order_id']}/accept", {"cooking_minutes": 5}
        )
        async with client.stream("GET", url, headers={"Last-Event-ID": event_id}) as answer:
            events = _events(answer)
            assert (await anext(events))[1]["type"] == "resumed"
            wanted = (order["order_id"], 2)
            while ((seen := (await anext(events))[1]["order"])["order_id"], seen["version"]) != wanted:
                pass  # its placing, or the end of an order of the test before
            assert seen["state"] == "COOKING"
        async with client.stream("GET", url, headers={"Last-Event-ID": "another:12"}) as answer:
            events = _events(answer)
            assert [(await anext(events))[1]["type"] for _ in range(2)] == ["resync", "snapshot"]


def test_views_that_were_deleted_are_made_again_and_a_kill_changes_nothing(four: Four) -> None:
    orders = [four.place() for _ in range(3)]
    for one in orders:
        four.customer("GET", f"/v1/orders/{one['order_id']}", params={"at_least_version": 1})
    before = four.admin("GET", "/v1/orders", params={"limit": 200}).json()
    trails = [four.admin("GET", f"/v1/orders/{one['order_id']}/audit").json() for one in before["orders"]]
    for lose in (False, True):
        four.server.kill()
        if lose:
            for file in four.server.data.glob("views.db*"):
                file.unlink()
        four.server.start()
        assert four.admin("GET", "/v1/orders", params={"limit": 200}).json() == before
        assert [
            four.admin("GET", f"/v1/orders/{one['order_id']}/audit").json() for one in before["orders"]
        ] == trails
    for one in orders:
        four.end(one)
