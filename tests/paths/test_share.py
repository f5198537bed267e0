"""Share links against a real server: what a stranger sees, when a link ends, and nobody else's position."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from tests.paths.grpc_client import position, stream_positions
from tests.paths.test_orders import HOME as HOME_OF_FOUR
from tests.paths.test_orders import SHOP, Four, problem
from tests.server import start_server

WITHIN_S = 60.0
HOME: dict[str, Any] = dict(HOME_OF_FOUR)
SECRETS = (HOME["text"], HOME["detail"], "mina", "칼국수", "21000", "noodles")


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Four]:
    sets = (
        "delivery.open_sign_up=customer,rider,store",
        "delivery.sign_up_per_minute=1000",
        "share.per_order=3",
        "share.after_end=2s",
        "share.streams_per_link=2",
    )
    with start_server(tmp_path_factory.mktemp("share") / "data", *sets) as server:
        yield Four(server)


@pytest.fixture(scope="module")
def fleet(four: Four) -> str:
    return str(four.server.add_user("share-fleet", "gateway")["token"])


@pytest.fixture
def order(four: Four) -> Iterator[dict[str, Any]]:
    placed = four.place(note="벨 누르지 마세요")
    yield placed
    four.end(placed)


def share(four: Four, order: dict[str, Any], lasts: str = "2h") -> dict[str, Any]:
    made = four.customer.post(f"/v1/orders/{order['order_id']}/shares", {"for": lasts})
    assert made.status_code == 201, made.text
    return dict(made.json())


def look(four: Four, made: dict[str, Any]) -> httpx.Response:
    return httpx.get(f"{four.server.url}/v1/track/{made['token']}", timeout=60)


def step(four: Four, order: dict[str, Any], *names: str) -> None:
    who = {"accept": four.store, "ready": four.store, "reassign": four.admin}
    body = {"accept": {"cooking_minutes": 10}, "reassign": {"rider_id": four.rider_id}}
    for name in names:
        done = who.get(name, four.rider).post(f"/v1/orders/{order['order_id']}/{name}", body.get(name, {}))
        assert done.status_code == 200, done.text


_SEQ = itertools.count(1)
_BEGAN_MS = time.time_ns() // 1_000_000 - 3_600_000


def ride(four: Four, fleet: str, rider_id: str, latitude: float, longitude: float = 127.0276) -> None:
    """A fix thirty seconds after the one before, by the phone's clock: no rider flies."""
    seq = next(_SEQ)
    at_ms = _BEGAN_MS + seq * 30_000
    fix = position(seq, rider_id=rider_id, latitude=latitude, longitude=longitude, device_time_ms=at_ms)
    stream_positions(four.server.grpc, fleet, [fix])
    four.server.wait_processed()


class Following:
    """The messages of a link, as a page reads them."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines
        self.all: list[dict[str, Any]] = []

    async def until(self, kind: str) -> dict[str, Any]:
        async with asyncio.timeout(WITHIN_S):
            while True:
                line = await anext(self._lines)
                if line.startswith("data: "):
                    self.all.append(json.loads(line.removeprefix("data: ")))
                    if self.all[-1]["type"] == kind:
                        return self.all[-1]


@asynccontextmanager
async def following(four: Four, made: dict[str, Any]) -> AsyncIterator[Following]:
    async with (
        httpx.AsyncClient(base_url=four.server.url, timeout=WITHIN_S) as client,
        client.stream("GET", f"/v1/track/{made['token']}/events") as answer,
    ):
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        yield Following(answer.aiter_lines())


def test_what_a_stranger_sees(four: Four, order: dict[str, Any]) -> None:
    made = share(four, order)
    assert made["path"] == f"/track/{made['token']}" and made["url"].endswith(made["path"])
    assert len(made["token"]) >= 40
    answer = look(four, made)
    assert answer.status_code == 200, answer.text
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-robots-tag"] == "noindex, nofollow"
    seen = answer.json()
    assert (seen["order"]["state"], seen["order"]["store_name"]) == ("RECEIVED", SHOP["name"])
    assert (seen["rider"], seen["expires_ms"]) == (None, made["expires_ms"])
    about = seen["order"]["destination"]
    assert (about["latitude"], about["longitude"]) == (37.4975, 127.0325), "the middle of a square"
    for secret in (*SECRETS, order["delivery_code"], order["note"], order["order_id"], str(HOME["latitude"])):
        assert secret not in answer.text, secret
    page = httpx.get(four.server.url + made["path"])
    assert page.headers["referrer-policy"] == "no-referrer"
    assert "noindex" in page.headers["x-robots-tag"]


def test_who_may_share(four: Four, order: dict[str, Any]) -> None:
    step(four, order, "accept", "reassign")
    path = f"/v1/orders/{order['order_id']}/shares"
    callers = {
        "customer": four.customer, "stranger": four.stranger, "store": four.store, "rider": four.rider,
        "admin": four.admin,
    }  # fmt: skip
    made = {name: caller.post(path, {}).status_code for name, caller in callers.items()}
    assert made == {"customer": 201, "stranger": 404, "store": 403, "rider": 403, "admin": 201}
    listed = {name: caller("GET", path).status_code for name, caller in callers.items()}
    assert listed == {"customer": 200, "stranger": 404, "store": 403, "rider": 403, "admin": 200}
    shares = four.customer("GET", path).json()["shares"]
    assert len(shares) == 2 and "token" not in str(shares)
    revoke = f"{path}/{shares[0]['share_id']}"
    revoked = {name: callers[name]("DELETE", revoke).status_code for name in ("stranger", "store", "rider")}
    assert revoked == {"stranger": 404, "store": 403, "rider": 403}
    assert httpx.post(four.server.url + path, json={}).status_code == 401
    assert four.customer.post("/v1/orders/nowhere/shares", {}).status_code == 404
    assert four.customer("DELETE", f"{path}/nothing").status_code == 404


def test_bounds(four: Four, order: dict[str, Any]) -> None:
    path = f"/v1/orders/{order['order_id']}/shares"
    for wrong in ("25h", "10s", "-2h", "soon", "2 days", "nan"):
        problem(four.customer.post(path, {"for": wrong}), 400, "bad-request")
    made = [share(four, order) for _ in range(3)]
    problem(four.customer.post(path, {}), 409, "too-many-shares")
    assert four.customer("DELETE", f"{path}/{made[0]['share_id']}").status_code == 204
    share(four, order, "1m")


def test_no_such_link_and_taken_back(four: Four, order: dict[str, Any]) -> None:
    made = share(four, order)
    url = f"{four.server.url}/v1/track/"
    for wrong in ("x", made["token"][:-1], made["token"] + "x", "%00", "가" * 20, "a" * 128):
        problem(httpx.get(url + wrong), 404, "not-found")
        problem(httpx.get(f"{url}{wrong}/events"), 404, "not-found")
    for _ in range(2):
        done = four.customer("DELETE", f"/v1/orders/{order['order_id']}/shares/{made['share_id']}")
        assert done.status_code == 204
    assert "taken back" in problem(look(four, made), 410, "share-over")["detail"]
    problem(httpx.get(f"{url}{made['token']}/events"), 410, "share-over")


async def test_the_rider_from_pick_up_to_the_last_stretch(
    four: Four, fleet: str, order: dict[str, Any]
) -> None:
    made = share(four, order)
    step(four, order, "accept", "reassign", "ready")
    ride(four, fleet, four.rider_id, 37.4979)
    ride(four, fleet, four.rider2_id, 37.51)
    assert look(four, made).json()["rider"] is None, "before the pick-up"
    async with following(four, made) as page:
        assert (await page.until("track"))["track"]["order"]["state"] == "READY"
        await asyncio.to_thread(step, four, order, "pick-up", "depart")
        while (await page.until("order"))["order"]["state"] != "DELIVERING":
            pass
        await asyncio.to_thread(ride, four, fleet, four.rider2_id, 37.511)
        await asyncio.to_thread(ride, four, fleet, four.rider_id, 37.4982)
        while (rider := (await page.until("rider"))["rider"]) is None:
            pass
        assert rider["latitude"] == 37.4982
        assert (await asyncio.to_thread(look, four, made)).json()["rider"]["latitude"] == 37.4982

        await asyncio.to_thread(
            ride, four, fleet, four.rider_id, HOME["latitude"] + 0.0005, HOME["longitude"]
        )
        rider = (await page.until("rider"))["rider"]
        assert rider["near"] and rider["latitude"] is None, "the last stretch would point at the door"

        # Another rider: where the first one is, is over at once, and the second one shows from now on.
        other = {"rider_id": four.rider2_id}
        await asyncio.to_thread(four.admin.post, f"/v1/orders/{order['order_id']}/reassign", other)
        await page.until("order")
        assert (await page.until("rider"))["rider"] is None
        await asyncio.to_thread(ride, four, fleet, four.rider_id, 37.4983)
        await asyncio.to_thread(ride, four, fleet, four.rider2_id, 37.512)
        assert (await page.until("rider"))["rider"]["latitude"] == 37.512

        fail = {"reason": "nobody there"}
        await asyncio.to_thread(four.rider2.post, f"/v1/orders/{order['order_id']}/fail", fail)
        assert (await page.until("order"))["order"]["state"] == "FAILED"
        assert (await page.until("rider"))["rider"] is None
        await asyncio.to_thread(ride, four, fleet, four.rider2_id, 37.513)
        assert "order is over" in (await page.until("over"))["detail"], "by itself, a while after the end"
    told = json.dumps(page.all, ensure_ascii=False)
    for secret in (*SECRETS, four.rider_id, four.rider2_id, order["order_id"], "nobody there", "37.513"):
        assert secret not in told, secret
    assert "37.4983" not in told and "37.511" not in told
    problem(look(four, made), 410, "share-over")
    again = four.customer.post(f"/v1/orders/{order['order_id']}/shares", {})
    problem(again, 410, "share-over")


async def test_taken_back_while_somebody_looks(four: Four, order: dict[str, Any]) -> None:
    made, kept = share(four, order), share(four, order)
    async with following(four, made) as page, following(four, kept) as other:
        await page.until("track")
        await other.until("track")
        path = f"/v1/orders/{order['order_id']}/shares/{made['share_id']}"
        assert (await asyncio.to_thread(four.customer, "DELETE", path)).status_code == 204
        assert "taken back" in (await page.until("over"))["detail"]
        await asyncio.to_thread(step, four, order, "accept")
        while (await other.until("order"))["order"]["state"] != "COOKING":
            pass


async def test_only_so_many_follow_one_link(four: Four, order: dict[str, Any]) -> None:
    made = share(four, order)
    async with following(four, made) as one, following(four, made) as two:
        await one.until("track")
        await two.until("track")
        events = f"{four.server.url}/v1/track/{made['token']}/events"
        problem(await asyncio.to_thread(httpx.get, events), 503, "overloaded")


def test_a_token_opens_nothing_else(four: Four, order: dict[str, Any]) -> None:
    made = share(four, order)
    headers = {"Authorization": f"Bearer {made['token']}"}
    for path in (f"/v1/orders/{order['order_id']}", "/v1/me", f"/v1/orders/{order['order_id']}/rider"):
        assert httpx.get(four.server.url + path, headers=headers).status_code == 401
    body = {"name": "sharer", "role": "share"}
    assert four.admin.post("/v1/accounts/users", body).status_code == 400, "nobody signs in as a link"
