"""The city that orders, without a server: its people decide the same again, and its sums are right."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest

from majung.cli_delivery import Wishes
from majung.simulate.delivery import names
from majung.simulate.delivery.calibration import Calibration
from majung.simulate.delivery.crew import Crew
from majung.simulate.delivery.customers import basket, rush
from majung.simulate.delivery.http import Client
from majung.simulate.delivery.ledger import Ledger
from majung.simulate.delivery.people import given
from majung.simulate.delivery.photo import bag_at_door
from majung.simulate.delivery.shops import _longer
from majung.stores.hours import check_hours, is_open
from majung.stores.model import Hours, NewMenu


def order(version: int, state: str, **more: Any) -> dict[str, Any]:
    times = {"placed_at_ms": 1_000, "accepted_at_ms": 0, "ended_at_ms": 0}
    return {"order_id": "o-1", "store_id": "s-1", "version": version, "state": state, **times, **more}


# ------------------------------------------------------------------------------------------- ledger


def test_an_order_counts_once_however_often_its_end_is_told() -> None:
    ledger = Ledger()
    ledger.was_placed(order(1, "RECEIVED", delivery_code="1234"), took_ms=3.0)
    for _ in range(3):
        ledger.saw(order(2, "COOKING"))
        ledger.saw(order(6, "DELIVERED", ended_at_ms=61_000))
        ledger.saw(order(1, "RECEIVED"))
    report = ledger.report()
    assert (report["placed"], report["ended"], report["open"]) == (1, {"DELIVERED": 1}, {})
    assert report["unfinished"] == []
    assert report["placed_to_delivered_ms"]["count"] == 1


def test_the_end_may_be_heard_before_the_answer_to_the_placing() -> None:
    ledger = Ledger()
    ledger.saw(order(2, "REJECTED"))
    tale = ledger.was_placed(order(1, "RECEIVED"), took_ms=3.0)
    assert tale.ended.is_set()
    assert ledger.unfinished == []


@pytest.mark.parametrize(
    ("state", "rings"),
    [
        ("RECEIVED", (False, False, False)),
        ("COOKING", (True, False, False)),
        ("READY", (True, True, False)),
        ("PICKED_UP", (True, True, True)),
        ("CANCELLED", (True, True, True)),
    ],
)
def test_who_waits_for_a_state_is_woken(state: str, rings: tuple[bool, ...]) -> None:
    tale = Ledger().saw(order(1, state))
    assert tuple(bell.is_set() for bell in (tale.accepted, tale.ready, tale.picked_up)) == rings


def test_an_offer_is_counted_from_when_it_could_be_made() -> None:
    ledger = Ledger(offer_ahead_s=120)
    far_ms = 4_000_000_000_000
    ledger.saw(order(2, "COOKING", accepted_at_ms=far_ms, cooking_minutes=5))
    ledger.was_offered("o-1", far_ms + 180_000 + 400)
    ledger.was_offered("o-1", far_ms + 999_000)
    assert ledger.match_ms.count == 1
    assert ledger.match_ms.percentile(50) == pytest.approx(400, rel=0.08)


def test_arrival_times_are_judged_by_the_delivery() -> None:
    found = Calibration()
    shown = {"at_ms": 100_000, "earliest_ms": 80_000, "latest_ms": 120_000}
    for delivered_ms in (80_000, 100_000, 120_000, 121_000):
        found.add("placed", shown, delivered_ms)
    stage = found.report()["placed"]
    assert stage == {
        "seen": 4,
        "hits": 3,
        "hit_rate": 0.75,
        "mean_error_s": 5.2,
        "mean_absolute_error_s": 15.2,
        "mean_width_s": 40.0,
    }
    assert found.hit_rate("accepted") is None


# ------------------------------------------------------------------------------------------- people


def test_menus_and_hours_are_what_the_server_takes() -> None:
    random = Random(3)
    for kitchen in names.KITCHENS:
        menu = msgspec.convert(names.menu(random, kitchen), NewMenu)
        assert len({item.item_id for item in menu.items}) == len(menu.items)
    weeks = [msgspec.convert(names.hours(random), Hours) for _ in range(400)]
    for week in weeks:
        check_hours(week)
    for hour in range(24):
        opened = sum(is_open(week, "Asia/Seoul", 1_790_000_000_000 + hour * 3_600_000) for week in weeks)
        assert opened > 200, "at any hour most have open"


def test_no_two_stores_are_called_the_same() -> None:
    random, taken = Random(1), set[str]()
    made = [names.store_name(random, random.choice(names.KITCHENS), taken) for _ in range(2_000)]
    assert len(set(made)) == 2_000


def test_a_basket_reaches_the_minimum_at_the_prices_that_were_seen() -> None:
    kitchen = names.KITCHENS[1]
    menu = names.menu(Random(1), kitchen)
    page = {"menu": menu, "store": {"minimum_krw": 16_000, "fee_krw": 2_000}}
    for seed in range(50):
        wish = basket(page, Random(seed))
        assert wish is not None
        items = sum(line["price_krw"] * line["quantity"] for line in wish["lines"])
        assert items >= 16_000
        assert wish["total_krw"] == items + 2_000
        assert all(line["options"] for line in wish["lines"]), "a required choice is made"
    for item in menu["items"]:
        item["sold_out"] = True
    assert basket(page, Random(1)) is None


def test_lunch_and_dinner_are_the_peak_and_nights_are_not_empty() -> None:
    assert rush(18.8) == pytest.approx(1.0, abs=0.01)
    assert rush(12.3) > 0.85
    assert 0.5 <= rush(4.0) < 0.6


def wishes(cooking: str) -> Wishes:
    return Wishes("http://127.0.0.1:8080", 1, 1.0, None, "", None, None, "", None, None, cooking)


def test_stores_cook_as_their_kitchens_do_or_as_one_wishes() -> None:
    assert wishes("").habits().cooking_minutes is None
    assert wishes("1-4").habits().cooking_minutes == (1, 4)
    assert wishes("3-3").habits().cooking_minutes == (3, 3)


@pytest.mark.parametrize("cooking", ["0-4", "4-1", "1-241", "4", "1-", "-1-4", "1.5-2", "short"])
def test_a_wrong_cooking_time_is_told(cooking: str) -> None:
    with pytest.raises(ValueError, match="--cooking"):
        wishes(cooking).habits()


@pytest.mark.parametrize("minutes", [1, 2, 4, 11])
def test_who_needs_longer_needs_some_of_it_more(minutes: int) -> None:
    more = {_longer(minutes, Random(seed)) for seed in range(50)}
    assert min(more) >= 1
    assert max(more) <= minutes


def test_given_accounts_are_taken_by_role_and_too_few_are_told() -> None:
    lines = [
        f'{{"name": "{role}-{n}", "role": "{role}", "token": "t"}}'
        for role in ("store", "rider")
        for n in (1, 2)
    ]
    cast = given([*lines, '{"name": "c", "role": "customer", "token": "t"}'], 1, 5, 5)
    assert ([person.name for person in cast.stores], len(cast.riders)) == (["store-1"], 2)
    assert cast.gateway is None
    with pytest.raises(ValueError, match="no customer"):
        given(lines, 1, 1, 1)


def test_the_photo_is_a_picture() -> None:
    photo = bag_at_door(3)
    assert photo.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(photo) < 4_000
    assert photo != bag_at_door(7)


# --------------------------------------------------------------------------------------------- crew


async def test_a_rider_arrives_where_it_was_sent_even_beside_a_street() -> None:
    crew = Crew("gangnam", 3, seed=1)
    to = (37.4995, 127.0301)
    going = asyncio.create_task(crew.go(1, to))
    steps = 0
    while not going.done():
        crew.step(5.0, 12.3)
        await asyncio.sleep(0)
        steps += 1
        assert steps < 1_000
    assert crew.place(1) == pytest.approx(to, abs=1e-6)
    assert steps > 5, "it rode, and was not put there"


async def test_who_is_called_back_stays_where_it_is() -> None:
    crew = Crew("gangnam", 1, seed=1)
    crew.free(0, False)
    going = asyncio.create_task(crew.go(0, (37.51, 127.04)))
    for _ in range(3):
        await asyncio.sleep(0)
        crew.step(5.0, 12.3)
    going.cancel()
    await asyncio.gather(going, return_exceptions=True)
    place = crew.place(0)
    for _ in range(20):
        crew.step(5.0, 12.3)
    assert crew.place(0) == place


def test_who_has_nothing_to_do_strolls_and_who_waits_at_a_store_does_not() -> None:
    crew = Crew("gangnam", 200, seed=1)
    for row in range(100):
        crew.free(row, False)
    before = np.array([crew.place(row) for row in range(200)])
    for _ in range(40):
        crew.step(5.0, 12.3)
    moved = np.abs(np.array([crew.place(row) for row in range(200)]) - before).max(axis=1) > 1e-5
    assert not moved[:100].any()
    assert moved[100:].mean() > 0.8


def test_riders_are_put_where_they_were() -> None:
    crew = Crew("gangnam", 2, seed=1)
    place = crew.place(1)
    other = Crew("gangnam", 2, seed=1)
    other.step(5.0, 12.0)
    other.put({0: place})
    assert other.place(0) == pytest.approx(place, abs=1e-9)


# --------------------------------------------------------------------------------------------- http

Answers = list[bytes]


@asynccontextmanager
async def server(answers: Answers) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Gives one answer for each request, the last one again and again; b"" hangs up."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            asked.append(head)
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            if not answer:
                break
            writer.write(answer)
        writer.close()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Any:
        task = asyncio.create_task(serve(reader, writer))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    made = await asyncio.start_server(connected, "127.0.0.1", 0)
    port = made.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}", asked
    finally:
        made.close()


def said(status: str, body: str = "{}", more: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\n{more}content-length: {len(body)}\r\n\r\n{body}".encode()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Nobody sleeps; how long they would have."""
    slept: list[float] = []
    real: Callable[[float], Any] = asyncio.sleep

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await real(0)

    monkeypatch.setattr("majung.simulate.delivery.http.asyncio.sleep", sleep)
    return slept


async def test_it_waits_as_long_as_the_server_says_and_comes_back_after_a_lost_connection(
    pauses: list[float],
) -> None:
    busy = said("503 Busy", more="retry-after: 7\r\n")
    async with server(
        [busy, b"", said("429 Slow", more="retry-after: 30\r\n"), said("200 OK", '{"a":1}')]
    ) as (
        url,
        asked,
    ):
        client = Client(url)
        answer = await client.call("GET", "/x", "token")
        client.close()
    assert answer.json() == {"a": 1}
    assert len(asked) == 4
    assert len({head.split(b"\r\n")[0] for head in asked}) == 1
    assert pauses[0] >= 7
    assert pauses[2] >= 30
    assert client.waited == Counter({"503": 1, "connection": 1, "429": 1})


async def test_a_refusal_is_not_asked_again(pauses: list[float]) -> None:
    async with server([said("409 No", '{"type":"order-conflict"}')]) as (url, asked):
        client = Client(url)
        answer = await client.call("POST", "/x", "token", {"a": 1})
        client.close()
    assert (answer.status, answer.refusal, len(asked), pauses) == (409, "order-conflict", 1, [])


async def test_one_connection_serves_one_after_another(pauses: list[float]) -> None:
    async with server([said("200 OK")]) as (url, _):
        client = Client(url, at_once=1)
        answers = await asyncio.gather(*(client.call("GET", "/x", "t") for _ in range(20)))
        opened = len(client._free)
        client.close()
    assert all(answer.ok for answer in answers)
    assert opened == 1


async def test_at_last_it_gives_up(pauses: list[float]) -> None:
    async with server([b""]) as (url, asked):
        client = Client(url)
        with pytest.raises(ConnectionError):
            await client.call("GET", "/x", "t", tries=3)
        client.close()
    assert len(asked) == 3
