"""Whoever watches, against a real server: WebSocket and SSE, fences and events, rights, restarts, slow readers."""

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.server import Server, start_server

HOME = (37.4979, 127.0276)
AWAY = (37.5500, 127.0276)
GANGNAM = {"south": 37.49, "west": 127.02, "north": 37.51, "east": 127.04}
WITHIN_S = 60.0

Message = dict[str, Any]


class Fleet:
    """A gateway that reports for any rider, over one WebSocket."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._seq = 0

    async def report(self, *fixes: tuple[str, tuple[float, float]], seconds_ago: float = 0.0) -> None:
        """Send, and wait for the acknowledgement."""
        frame = []
        for rider_id, (latitude, longitude) in fixes:
            self._seq += 1
            frame.append(
                {
                    "rider_id": rider_id, "session_id": "s", "seq": self._seq, "accuracy_m": 5,
                    "latitude": latitude, "longitude": longitude,
                    "device_time_ms": int((time.time() - seconds_ago) * 1000),
                }
            )  # fmt: skip
        await self._connection.send(json.dumps(frame))
        while json.loads(await self._connection.recv()).get("last_acked_seq") != self._seq:
            pass


class Watcher:
    """A viewer over WebSocket."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.seen: list[Message] = []

    async def say(self, **message: Any) -> None:
        await self.connection.send(json.dumps(message))

    async def wait_for(self, wanted: Callable[[Message], bool]) -> Message:
        """The next message that is wanted; those before it are kept in `seen`."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                message = json.loads(await self.connection.recv())
                self.seen.append(message)
                if wanted(message):
                    return dict(message)

    async def of(self, kind: str) -> Message:
        return await self.wait_for(lambda message: message["type"] == kind)

    async def position_of(self, rider_id: str) -> Message:
        def there(message: Message) -> bool:
            return any(one["rider_id"] == rider_id for one in message.get("positions", ()))

        message = await self.wait_for(there)
        return next(one for one in message["positions"] if one["rider_id"] == rider_id)


def address(server: Server, path: str = "/v1/live", token: str | None = None) -> str:
    query = "" if token is None else f"?access_token={token}"
    return f"ws://127.0.0.1:{server.http_port}{path}{query}"


@contextlib.asynccontextmanager
async def watching(server: Server, headers: dict[str, str] | None = None) -> AsyncIterator[Watcher]:
    async with connect(
        address(server), additional_headers=headers or server.admin, compression=None
    ) as connection:
        yield Watcher(connection)


@contextlib.asynccontextmanager
async def reporting(server: Server) -> AsyncIterator[Fleet]:
    gateway = server.add_user(f"fleet-{time.monotonic_ns()}", "gateway")["token"]
    async with connect(
        address(server, "/v1/positions/stream"),
        additional_headers={"Authorization": f"Bearer {gateway}"},
        compression=None,
    ) as connection:
        yield Fleet(connection)


@pytest.fixture
async def fleet(module_server: Server) -> AsyncIterator[Fleet]:
    async with reporting(module_server) as fleet:
        yield fleet


def viewer(server: Server, name: str) -> dict[str, str]:
    """Headers of a new viewer who was granted nothing yet."""
    password = server.add_user(name, "viewer")["password"]
    return {"Authorization": f"Bearer {server.sign_in(name, password)}"}


# --------------------------------------------------------------------------------------- WebSocket


async def test_a_viewport_gets_a_snapshot_who_moves_and_who_leaves(
    module_server: Server, fleet: Fleet
) -> None:
    await fleet.report(("라이더 1", HOME), ("far", AWAY))
    module_server.wait_processed()
    async with watching(module_server) as watcher:
        await watcher.say(subscribe={"id": "area", "area": GANGNAM})
        snapshot = await watcher.of("snapshot")
        assert snapshot["id"] == "area"
        assert "라이더 1" in {one["rider_id"] for one in snapshot["positions"]}
        assert "far" not in {one["rider_id"] for one in snapshot["positions"]}
        await fleet.report(("라이더 1", (37.4981, 127.0276)))
        moved = await watcher.position_of("라이더 1")
        assert (moved["latitude"], moved["longitude"]) == (37.4981, 127.0276)
        await fleet.report(("enters", (37.5, 127.03)))
        await watcher.position_of("enters")
        await watcher.say(unsubscribe="area")
        await watcher.say(subscribe={"id": "riders", "riders": ["far"]})
        assert [one["rider_id"] for one in (await watcher.of("snapshot"))["positions"]] == ["far"]
        assert "error" not in {message["type"] for message in watcher.seen}


async def test_who_comes_back_misses_nothing(module_server: Server, fleet: Fleet) -> None:
    await fleet.report(("goer", HOME), ("stayer", HOME))
    module_server.wait_processed()
    wish: dict[str, Any] = {"id": "a", "riders": ["goer", "stayer"]}
    async with watching(module_server) as watcher:
        await watcher.say(subscribe=wish)
        seen = await watcher.of("snapshot")
    await fleet.report(("goer", (37.4981, 127.0276)))
    await fleet.report(("goer", (37.4982, 127.0276)))
    module_server.wait_processed()
    async with watching(module_server) as watcher:
        await watcher.say(subscribe={**wish, "epoch": seen["epoch"], "offset": seen["offset"]})
        await watcher.of("resumed")
        missed = await watcher.of("positions")
        assert [(one["rider_id"], one["latitude"]) for one in missed["positions"]] == [("goer", 37.4982)]
        assert missed["offset"] > seen["offset"]
        assert "snapshot" not in {message["type"] for message in watcher.seen}


async def test_nonsense_is_answered_and_the_stream_goes_on(module_server: Server, fleet: Fleet) -> None:
    async with watching(module_server) as watcher:
        for text in ("nonsense", "{}", '{"subscribe":{"id":"x"}}', "x" * 70_000):
            await watcher.connection.send(text)
            error = (await watcher.of("error"))["error"]
            assert error["status"] == 400 and error["detail"]
        await watcher.connection.send(b"\xff\xfe")
        assert (await watcher.of("error"))["error"]["status"] == 400
        await watcher.say(subscribe={"id": "f", "fence": "no such"})
        error = await watcher.of("error")
        assert (error["id"], error["error"]["status"]) == ("f", 404)
        await watcher.say(subscribe={"id": "ok", "riders": ["later"]})
        await watcher.of("snapshot")
        await fleet.report(("later", HOME))
        await watcher.position_of("later")


async def test_the_handshake_is_refused_with_a_real_status(module_server: Server) -> None:
    device = module_server.add_device("only mine")["token"]
    gateway = module_server.add_user("gateway-live", "gateway")["token"]
    for token, status in ((None, 401), ("forged", 401), (gateway, 403)):
        with pytest.raises(InvalidStatus) as refused:
            async with connect(address(module_server, token=token), compression=None):
                pass
        assert refused.value.response.status_code == status
        assert json.loads(refused.value.response.body or b"")["status"] == status
    async with connect(address(module_server, token=device), compression=None) as connection:
        watcher = Watcher(connection)
        await watcher.say(subscribe={"id": "a", "riders": ["somebody else"]})
        assert (await watcher.of("error"))["error"]["status"] == 403
        await watcher.say(subscribe={"id": "a", "fence": "any"})
        assert (await watcher.of("error"))["error"]["status"] == 403
        await watcher.say(subscribe={"id": "a", "riders": ["only mine"]})
        await watcher.of("snapshot")
    assert device not in module_server.log.read_text()


async def test_a_grant_opens_and_its_removal_closes_the_view_of_an_open_stream(
    module_server: Server, fleet: Fleet
) -> None:
    headers = viewer(module_server, "customer")
    grant = f"{module_server.url}/v1/accounts/users/customer/grants/carrier"
    await fleet.report(("carrier", HOME), ("stranger", HOME))
    module_server.wait_processed()
    async with watching(module_server, headers) as watcher:
        await watcher.say(subscribe={"id": "area", "area": GANGNAM})
        assert (await watcher.of("snapshot"))["positions"] == []
        assert httpx.put(grant, headers=module_server.admin, json={}).status_code == 200
        shown = await watcher.wait_for(lambda m: m["type"] == "snapshot" and bool(m["positions"]))
        assert [one["rider_id"] for one in shown["positions"]] == ["carrier"]
        assert httpx.delete(grant, headers=module_server.admin).status_code == 204
        hidden = await watcher.wait_for(lambda m: m["type"] == "snapshot")
        assert hidden["positions"] == [] and watcher.seen[-2]["type"] == "resync"
        await fleet.report(("carrier", AWAY), ("stranger", AWAY))
        module_server.wait_processed()
        await watcher.say(subscribe={"id": "end", "area": GANGNAM})
        await watcher.wait_for(lambda m: m.get("id") == "end")
        assert "stranger" not in json.dumps(watcher.seen)


# --------------------------------------------------------------------------------- fences, events


async def test_a_fence_from_its_making_to_its_end(module_server: Server, fleet: Fleet) -> None:
    fence_url, headers = f"{module_server.url}/v1/fences", module_server.admin
    wish = {
        "name": "강남역 앞", "confirm_s": 0, "confirm_fixes": 2,
        "circle": {"latitude": HOME[0], "longitude": HOME[1], "radius_m": 100},
    }  # fmt: skip
    made = httpx.post(fence_url, headers={**headers, "Idempotency-Key": "k1"}, json=wish)
    again = httpx.post(fence_url, headers={**headers, "Idempotency-Key": "k1"}, json=wish)
    assert (made.status_code, made.json()) == (201, again.json())
    fence_id = made.json()["fence_id"]
    async with watching(module_server) as watcher:
        await watcher.say(subscribe={"id": "f", "fence": fence_id})
        assert (await watcher.of("snapshot"))["positions"] is not None
        for seconds_ago in (9, 8, 7):
            await fleet.report(("visitor", HOME), seconds_ago=seconds_ago)
        enter = (await watcher.of("event"))["event"]
        assert (enter["kind"], enter["rider_id"], enter["fence_name"]) == ("enter", "visitor", "강남역 앞")
        stored = module_server.get("/v1/events", rider_id="visitor", fence_id=fence_id)["events"]
        assert [event["event_id"] for event in stored] == [enter["event_id"]]
        await watcher.say(subscribe={"id": "r", "riders": ["visitor"]})
        await watcher.of("snapshot")
        assert httpx.delete(f"{fence_url}/{fence_id}", headers=headers).status_code == 204
        gone = await watcher.of("error")
        assert (gone["id"], gone["error"]["status"]) == ("f", 404)
        left = (await watcher.of("event"))["event"]
        assert (left["kind"], left["rider_id"], left["fence_id"]) == ("exit", "visitor", fence_id)
    later = module_server.get("/v1/events", rider_id="visitor", after_id=stored[0]["id"])
    assert [event["event_id"] for event in later["events"]] == [left["event_id"]]
    assert later["next_after_id"] == later["events"][0]["id"]
    assert httpx.get(f"{fence_url}/{fence_id}", headers=headers).status_code == 404


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"name": "x"}, "exactly one"),
        ({"name": "x", "polygon": [[0, 0], [1, 1], [0, 1], [1, 0]]}, "crosses"),
        ({"name": "x", "polygon": [[i * 0.0001, (i % 2) * 0.1] for i in range(1001)]}, "1000"),
        ({"name": "x", "circle": {"latitude": 127, "longitude": 37, "radius_m": 5}}, "swapped"),
        ({"name": "x", "circle": {"latitude": 0, "longitude": 0, "radius_m": 1e12}}, "radius_m"),
    ],
)
def test_a_bad_fence_is_refused_in_words(module_server: Server, wish: Message, said: str) -> None:
    answer = httpx.post(f"{module_server.url}/v1/fences", headers=module_server.admin, json=wish)
    assert answer.status_code == 400 and said in answer.json()["detail"]
    assert answer.headers["content-type"] == "application/problem+json"


def test_fences_and_events_are_for_those_who_may(module_server: Server) -> None:
    url = module_server.url
    mine = {"Authorization": f"Bearer {module_server.add_device('sees itself')['token']}"}
    circle = {"latitude": 0, "longitude": 0, "radius_m": 5}
    assert httpx.get(f"{url}/v1/fences", headers=mine).status_code == 403
    assert (
        httpx.post(f"{url}/v1/fences", headers=mine, json={"name": "x", "circle": circle}).status_code == 403
    )
    assert httpx.delete(f"{url}/v1/fences/any", headers=mine).status_code == 403
    assert httpx.get(f"{url}/v1/events?rider_id=visitor", headers=mine).status_code == 403
    assert httpx.get(f"{url}/v1/events", headers=mine).json()["events"] == []
    assert (
        httpx.get(f"{url}/v1/events?after_id=1&before_id=2", headers=module_server.admin).status_code == 400
    )


# --------------------------------------------------------------------------------------------- SSE


async def events_of(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, Message]]:
    """`id` (the last one set) and data of each event."""
    event_id = ""
    async for line in lines:
        if line.startswith("id: "):
            event_id = line[4:]
        elif line.startswith("data: "):
            yield event_id, json.loads(line[6:])


async def test_server_sent_events_resume_by_last_event_id(module_server: Server, fleet: Fleet) -> None:
    await fleet.report(("sse", HOME))
    module_server.wait_processed()
    url = f"{module_server.url}/v1/live/events?rider=sse&bbox=37.49,127.02,37.51,127.04"
    async with httpx.AsyncClient(timeout=WITHIN_S, headers=module_server.admin) as client:
        async with client.stream("GET", url) as answer:
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/event-stream")
            events = events_of(answer.aiter_lines())
            kinds = [(await anext(events))[1]["type"] for _ in range(2)]
            assert kinds == ["snapshot", "snapshot"]
            await fleet.report(("sse", (37.4985, 127.0276)))
            last_id = ""
            async for event_id, message in events:
                last_id = event_id
                if any(one.get("latitude") == 37.4985 for one in message.get("positions", ())):
                    break
        await fleet.report(("sse", (37.4986, 127.0276)))
        module_server.wait_processed()
        async with client.stream("GET", url, headers={"Last-Event-ID": last_id}) as answer:
            types, latitude = [], 0.0
            async for _, message in events_of(answer.aiter_lines()):
                types.append(message["type"])
                if message["type"] == "positions":
                    latitude = next(
                        one["latitude"] for one in message["positions"] if one["rider_id"] == "sse"
                    )
                    break
            assert latitude == 37.4986 and set(types) == {"resumed", "positions"}
        async with client.stream("GET", url, headers={"Last-Event-ID": "another:12"}) as answer:
            events = events_of(answer.aiter_lines())
            assert (await anext(events))[1]["type"] == "resync"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        ("bbox=1,2,3", 400),
        ("bbox=a,b,c,d", 400),
        ("bbox=nan,0,1,1", 400),
        ("bbox=50,0,40,1", 400),
        ("fence=none", 404),
    ],
)
def test_sse_says_what_it_cannot_do(module_server: Server, query: str, status: int) -> None:
    answer = httpx.get(f"{module_server.url}/v1/live/events?{query}", headers=module_server.admin)
    assert (answer.status_code, answer.json()["status"]) == (status, status)


def test_sse_wants_a_credential(module_server: Server) -> None:
    assert httpx.get(f"{module_server.url}/v1/live/events?rider=a").status_code == 401


# ---------------------------------------------------------------------- limits, restarts, slow ones


@pytest.fixture(scope="module")
def tight_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("tight") / "data"
    with start_server(folder, "live.max_viewers=1", "auth.token_for=3s") as server:
        yield server


async def test_past_the_bound_there_is_503_and_an_expired_token_ends_the_stream(tight_server: Server) -> None:
    headers = {"Authorization": f"Bearer {tight_server.sign_in('admin', tight_server.admin_password)}"}
    async with watching(tight_server, headers) as watcher:
        await watcher.say(subscribe={"id": "a", "riders": ["r"]})
        await watcher.of("snapshot")
        with pytest.raises(InvalidStatus) as refused:
            async with watching(tight_server, headers):
                pass
        assert refused.value.response.status_code == 503
        assert "retry-after" in refused.value.response.headers
        assert httpx.get(f"{tight_server.url}/v1/live/events?rider=r", headers=headers).status_code == 503
        with pytest.raises(ConnectionClosed) as closed:
            await watcher.of("never")
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 4401


async def test_after_a_crash_a_viewer_is_told_resync_and_sees_everybody(tmp_path: Path) -> None:
    with start_server(tmp_path / "data") as server:
        wish: dict[str, Any] = {"id": "a", "area": GANGNAM}
        made = httpx.post(
            f"{server.url}/v1/fences",
            headers=server.admin,
            json={"name": "stays", "circle": {"latitude": HOME[0], "longitude": HOME[1], "radius_m": 100}},
        ).json()
        async with reporting(server) as fleet, watching(server) as watcher:
            await watcher.say(subscribe=wish)
            await watcher.of("snapshot")
            for seconds_ago in (30, 20, 10):
                await fleet.report(("r", HOME), seconds_ago=seconds_ago)
            seen = await watcher.of("positions")
            entered = await watcher.of("event")
            server.kill()
        server.start()
        async with watching(server) as watcher:
            await watcher.say(subscribe={**wish, "epoch": seen["epoch"], "offset": seen["offset"]})
            assert (await watcher.of("resync"))["id"] == "a"
            await watcher.position_of("r")
        assert server.get(f"/v1/fences/{made['fence_id']}") == made
        entries = [e for e in server.get("/v1/events", rider_id="r")["events"] if e["kind"] == "enter"]
        assert [event["event_id"] for event in entries] == [entered["event"]["event_id"]]


async def test_a_viewer_who_does_not_read_gets_the_newest_and_harms_nobody(tmp_path: Path) -> None:
    riders = [f"rider-{number:03}" for number in range(200)]
    with start_server(tmp_path / "data", "live.flush_every=1ms") as server:
        async with reporting(server) as fleet, watching(server) as quick:
            slow = await _raw_websocket(server)
            wish = {"subscribe": {"id": "a", "area": GANGNAM}}
            slow.sendall(_masked(json.dumps(wish).encode()))
            await quick.say(**wish)
            await quick.of("snapshot")
            rounds = 0
            reader = asyncio.ensure_future(quick.wait_for(lambda _: False))
            while server.stats()["hub"]["coalesced"] < 2000 and rounds < 400:
                for _ in range(10):
                    rounds += 1
                    place = (37.495 + rounds * 1e-6, 127.03)
                    await fleet.report(*((rider, place) for rider in riders))
            server.wait_processed()
            newest = (37.495 + rounds * 1e-6, 127.03)
            stats = server.stats()
            assert stats["hub"]["coalesced"] >= 2000, "the socket took everything"
            async with asyncio.timeout(WITHIN_S):
                while _last_places(quick.seen) != dict.fromkeys(riders, newest):
                    await asyncio.sleep(0.01)
            reader.cancel()
            received = await asyncio.to_thread(_read_until, slow, riders, newest)
            slow.close()
            sent_quick = sum(len(m.get("positions", ())) for m in quick.seen)
            sent_slow = sum(len(m.get("positions", ())) for m in received)
            assert sent_slow < sent_quick
            times = [
                (one["rider_id"], one["device_time_ms"]) for m in received for one in m.get("positions", ())
            ]
            for rider in riders[:5]:
                mine = [device_time_ms for rider_id, device_time_ms in times if rider_id == rider]
                assert mine == sorted(mine)


def _last_places(messages: list[Message]) -> dict[str, tuple[float, float]]:
    return {
        one["rider_id"]: (one["latitude"], one["longitude"])
        for message in messages
        for one in message.get("positions", ())
    }


async def _raw_websocket(server: Server) -> socket.socket:
    """A socket with a small window, past its handshake."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.connect(("127.0.0.1", server.http_port))
    lines = [
        "GET /v1/live HTTP/1.1", "Host: majung", "Upgrade: websocket", "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13",
        f"Authorization: {server.admin['Authorization']}", "", "",
    ]  # fmt: skip
    raw.sendall("\r\n".join(lines).encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += await asyncio.to_thread(raw.recv, 1)
    assert b" 101 " in answer.splitlines()[0]
    return raw


def _masked(payload: bytes) -> bytes:
    """A client's text frame (RFC 6455 §5.2) with a mask of zeros; payload under 126 bytes to 64 KiB."""
    size = len(payload)
    head = bytes([0x81, 0x80 | size]) if size < 126 else bytes([0x81, 0x80 | 126]) + size.to_bytes(2, "big")
    return head + bytes(4) + payload


def _read_until(raw: socket.socket, riders: list[str], place: tuple[float, float]) -> list[Message]:
    """Read frames until every rider is at `place`."""
    raw.settimeout(WITHIN_S)
    stream = raw.makefile("rb")
    messages: list[Message] = []
    while _last_places(messages[-50:]) != dict.fromkeys(riders, place):
        opcode, size = stream.read(2)
        length = size & 0x7F
        if length >= 126:
            length = int.from_bytes(stream.read(2 if length == 126 else 8), "big")
        payload = stream.read(length)
        if opcode & 0x0F == 1:
            messages.append(json.loads(payload))
    return messages
