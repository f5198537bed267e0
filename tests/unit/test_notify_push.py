"""Push: who is subscribed, what is sent, and what becomes of it when a push service says no or nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from majung.auth.model import Forbidden
from majung.notify.push import pause_of
from majung.notify.subscriptions import NewSubscription
from tests.notify_kit import Kit, opened
from tests.order_views_kit import event, story
from tests.push_kit import Browser
from tests.receiver import Receiver, Reply, receiving

CUSTOMER = "customer:ann"


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiving() as made:
        for name, value in made.trust(tmp_path).items():
            monkeypatch.setenv(name, value)
        yield made


@pytest.fixture
async def kit(tmp_path: Path, service: Receiver) -> AsyncIterator[Kit]:
    async with opened(tmp_path) as made:
        yield made


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


async def emptied(kit: Kit) -> None:
    async with asyncio.timeout(60):
        while await kit.sender.queued():
            await asyncio.sleep(0.005)


async def now(kit: Kit, number: int = 1, version: int = 1) -> None:
    made = event(number, version)
    await kit.happen(msgspec.structs.replace(made, at_ms=kit.clock.now_ms()))


async def test_every_browser_of_a_reader_gets_it_in_its_language(kit: Kit, service: Receiver) -> None:
    phone, laptop, other = (Browser(service.url, name) for name in ("phone", "laptop", "other"))
    await kit.subscribe("ann", CUSTOMER, phone)
    await kit.subscribe("ann", CUSTOMER, laptop, "en")
    await kit.subscribe("ben", "customer:ben", other)
    kit.push()
    await now(kit)
    await emptied(kit)
    (in_korean,), (in_english,) = phone.shown(service.received), laptop.shown(service.received)
    assert (in_korean["title"], in_english["title"]) == ("주문이 접수되었어요", "Order received")
    assert (in_korean["url"], in_korean["tag"], in_korean["kind"]) == (
        "/order#/order/ord-0001",
        "ord-0001",
        "received",
    )
    assert in_korean["id"] == kit.told[0]["id"]
    assert other.shown(service.received) == []
    headers = service.received[0].headers
    assert (headers["content-encoding"], headers["urgency"]) == ("aes128gcm", "normal")
    assert headers["ttl"] == "86400"
    assert headers["authorization"].startswith("vapid t=")
    assert len(headers["topic"]) == 32
    assert kit.sender.counters() == {"sent": 2, "retried": 0, "refused": 0, "gone": 0, "expired": 0}


async def test_news_of_one_order_have_one_topic(kit: Kit, service: Receiver) -> None:
    await kit.subscribe("ann", CUSTOMER, Browser(service.url, "phone"))
    kit.push()
    for number in (1, 2):
        for version in (1, 2):
            await now(kit, number, version)
    await emptied(kit)
    assert len({got.headers["topic"] for got in service.received}) == 2


async def test_who_is_gone_is_forgotten(kit: Kit, service: Receiver) -> None:
    answers = {"/gone": 410, "/unknown": 404, "/key": 403, "/odd": 400, "/big": 413, "/well": 201}
    service.reply = lambda got: Reply(answers[got.path])
    for name in answers:
        await kit.subscribe("ann", CUSTOMER, Browser(service.url, name[1:]))
    kit.push()
    await now(kit)
    await emptied(kit)
    kept = await kit.database.read("SELECT endpoint FROM push_subscription ORDER BY endpoint")
    assert [row[0].rpartition("/")[2] for row in kept] == ["big", "odd", "well"]
    assert kit.sender.counters() == {"sent": 1, "retried": 0, "refused": 2, "gone": 3, "expired": 0}


async def test_a_service_that_is_busy_is_asked_again_when_it_says(kit: Kit, service: Receiver) -> None:
    service.reply = lambda _: Reply(429, {"Retry-After": "30"})
    browser = Browser(service.url, "phone")
    await kit.subscribe("ann", CUSTOMER, browser)
    kit.push()
    await now(kit)
    await until(lambda: kit.sender.retried == 1 and not kit.sender.flying)
    service.reply = lambda _: Reply(201)
    kit.clock.advance(29)
    assert await kit.sender.step() <= 30
    kit.clock.advance(1.1)
    kit.sender.wake()
    await emptied(kit)
    assert len(browser.shown(service.received)) == 2


async def test_errors_are_tried_again_until_it_is_too_late(kit: Kit, service: Receiver) -> None:
    service.reply = lambda _: Reply(500)
    await kit.subscribe("ann", CUSTOMER, Browser(service.url, "phone"))
    kit.push()
    await now(kit)
    for _ in range(40):
        before = kit.sender.retried
        kit.clock.advance(3_600)
        kit.sender.wake()
        await until(lambda n=before: not kit.sender.flying and kit.sender.retried + kit.sender.expired > n)  # type: ignore[misc]
        if kit.sender.expired:
            break
    assert kit.sender.expired == 1
    assert 20 < kit.sender.retried < 26
    assert await kit.sender.queued() == 0


def test_pauses_grow_and_listen() -> None:
    for tries, longest_s in ((0, 1), (3, 8), (30, 3600)):
        assert all(longest_s / 2 <= pause_of(tries, None) <= longest_s for _ in range(99))
    assert pause_of(0, "120") == 120
    assert pause_of(0, "0") == 1
    assert pause_of(0, "999999999999") == 3600
    assert pause_of(0, "Wed, 21 Oct 2026 07:28:00 GMT") <= 1


async def test_one_that_swallows_everything_holds_up_nobody(kit: Kit, service: Receiver) -> None:
    with receiving(lambda _: Reply(after_s=30), service.ca) as hole:
        for number in range(20):
            await kit.subscribe(f"greedy-{number}", CUSTOMER, Browser(hole.url, f"hole-{number}"))
        browser = Browser(service.url, "phone")
        await kit.subscribe("ann", CUSTOMER, browser)
        kit.push()
        for number in range(1, 30):
            await now(kit, number)
        await until(lambda: len(browser.shown(service.received)) == 29)
        assert await kit.sender.queued() > 500
        assert 0 < len(hole.received) < 100


async def test_what_was_queued_is_sent_after_a_restart(kit: Kit, service: Receiver) -> None:
    browser = Browser(service.url, "phone")
    await kit.subscribe("ann", CUSTOMER, browser)
    await now(kit)
    await kit.end_life()
    await kit.start()
    kit.push()
    await emptied(kit)
    assert [message["kind"] for message in browser.shown(service.received)] == ["received"]


async def test_what_is_over_is_not_sent(kit: Kit, service: Receiver) -> None:
    await kit.subscribe("ann", CUSTOMER, Browser(service.url, "phone"))
    await kit.happen(*story(1))  # its events are of May 2026, and so is the clock
    kit.clock.advance(2 * 86_400)
    kit.push()
    await emptied(kit)
    await kit.happen(*(msgspec.structs.replace(made, at_ms=made.at_ms) for made in story(2)))
    assert await kit.sender.queued() == 0
    assert service.received == []


async def test_a_revoked_account_is_told_nothing(kit: Kit, service: Receiver) -> None:
    await kit.subscribe("ann", CUSTOMER, Browser(service.url, "phone"))
    await kit.database.write(lambda tx: tx.execute("UPDATE account SET revoked_at_ms = 1 WHERE name = 'ann'"))
    await now(kit)
    assert await kit.sender.queued() == 0


async def test_push_can_be_switched_off(tmp_path: Path, service: Receiver) -> None:
    async with opened(tmp_path, push=False) as kit:
        await kit.subscribe("ann", CUSTOMER, Browser(service.url, "phone"))
        await now(kit)
        assert await kit.sender.queued() == 0
        assert kit.kinds(CUSTOMER) == ["received"]


# -------------------------------------------------------------------------------- subscriptions


def wish(browser: Browser, **changes: object) -> NewSubscription:
    return msgspec.convert({**browser.subscription(), **changes}, NewSubscription)


async def test_subscribing_again_renews(kit: Kit) -> None:
    browser = Browser("https://push.example.net", "phone")
    first = await kit.subscribe("ann", CUSTOMER, browser)
    assert await kit.subscribe("ann", CUSTOMER, browser, "en") == first
    (kept,) = await kit.subscriptions.of("ann")
    assert (kept.language, kept.origin) == ("en", "https://push.example.net")


async def test_an_account_has_so_many_browsers(tmp_path: Path) -> None:
    async with opened(tmp_path, push_per_account=3) as kit:
        for number in range(5):
            kit.clock.advance(1)
            await kit.subscribe("ann", CUSTOMER, Browser("https://push.example.net", f"b{number}"))
        await kit.subscribe("ben", "customer:ben", Browser("https://push.example.net", "bens"))
        rows = await kit.database.read(
            "SELECT endpoint FROM push_subscription ORDER BY created_at_ms, endpoint"
        )
        assert [row[0][-2:] for row in rows] == ["b2", "b3", "b4", "ns"]


async def test_a_browser_follows_who_signs_in_there(kit: Kit) -> None:
    """Two people, one tablet: the second gets it, and nothing that waited for the first."""
    browser = Browser("https://push.example.net", "tablet")
    await kit.subscribe("ann", CUSTOMER, browser)
    await now(kit)
    await kit.subscribe("ben", "customer:ben", browser)
    assert await kit.subscriptions.of("ann") == []
    assert len(await kit.subscriptions.of("ben")) == 1
    assert await kit.sender.queued() == 0


async def test_a_stranger_who_knows_the_address_takes_nothing_over(kit: Kit) -> None:
    browser, thief = (Browser("https://push.example.net", "phone") for _ in range(2))
    id_ = await kit.subscribe("ann", CUSTOMER, browser)
    await kit.account("eve")
    with pytest.raises(Forbidden):
        await kit.subscriptions.add("eve", "customer:eve", wish(thief))
    with pytest.raises(LookupError):
        await kit.subscriptions.remove("eve", id_)
    assert len(await kit.subscriptions.of("ann")) == 1
    await kit.subscriptions.remove("ann", id_)
    with pytest.raises(LookupError):
        await kit.subscriptions.remove("ann", id_)


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://push.example.net/a",
        "https://192.168.0.1/a",
        "https://[fd00::1]/a",
        "https://169.254.169.254/latest",
        "https://user@push.example.net/",
        "https://push.example.net/" + "a" * 1_000,
        "wss://push.example.net/",
        "",
    ],
)
async def test_addresses_that_are_no_push_service(kit: Kit, endpoint: str) -> None:
    browser = Browser("https://push.example.net", "phone")
    with pytest.raises(ValueError):
        await kit.subscriptions.add("ann", CUSTOMER, wish(browser, endpoint=endpoint))


async def test_the_key_is_made_once_and_kept(kit: Kit) -> None:
    first = (await kit.subscriptions.vapid()).public_key
    await kit.end_life()
    await kit.start()
    assert (await kit.subscriptions.vapid()).public_key == first
