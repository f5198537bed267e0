"""Webhooks with a real receiver and real tables; days pass by hand."""

import json
import threading
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from majung.auth.model import Forbidden, Principal, Role
from majung.webhooks.model import NewWebhook, Replay, State, Status, WebhookChange
from majung.webhooks.service import WebhookConflict
from majung.webhooks.signing import BadSignature
from tests.order_views_kit import event, story
from tests.webhook_kit import ACCOUNT, ADMIN, Call, House, Reply, house, receiving

STORE = Principal("store:owner", Role.STORE, store_id="s1")
OTHER = Principal("store:other", Role.STORE, store_id="s2")
NO: Reply = (500, {})
YES: Reply = (204, {})


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as made:
        yield made


async def deliveries(home: House, webhook_id: str, status: Status | None = None) -> list[Any]:
    return await home.webhooks.deliveries(ADMIN, webhook_id, status, None, 100)


def versions(calls: list[Call], order_id: str) -> list[int]:
    return [call.event["data"]["version"] for call in calls if call.event["subject"] == order_id]


async def test_every_event_once_signed_and_in_order(home: House) -> None:
    with receiving() as shop:
        hook, secret = await home.add(shop.url)
        await home.happen(*story(1), *story(2))
        await home.settle()
        assert sorted(shop.ids) == sorted(one.event_id for one in [*story(1), *story(2)])
        for call in shop.calls:
            call.verify(secret)
            assert call.headers["content-type"] == "application/cloudevents+json"
            assert call.event["id"] == call.id
        for order_id in ("ord-0001", "ord-0002"):
            assert versions(shop.calls, order_id) == list(range(1, 8))
        assert shop.most_in_the_air <= home.settings.at_once
        with pytest.raises(BadSignature):
            shop.calls[0].verify("whsec_" + "A" * 44)
        await home.happen(*story(1))  # the relay may publish again
        await home.settle()
        assert len(shop.calls) == 14
        shown = await home.shown(hook.webhook_id)
        assert (shown.waiting, shown.dead, shown.last_success_ms) == (0, 0, home.clock.now_ms())


async def test_a_store_gets_its_own_orders_and_nothing_else(home: House) -> None:
    with receiving() as shop:
        own, _ = await home.add(shop.url, STORE, store_id="s2")
        assert own.store_id == "s1"
        await home.happen(*story(1, store_id="s1"), *story(2, store_id="s2"))
        await home.settle()
        assert {call.event["subject"] for call in shop.calls} == {"ord-0001"}
    assert await home.webhooks.all(OTHER) == []
    for call in (home.webhooks.get(OTHER, own.webhook_id), home.webhooks.rotate(OTHER, own.webhook_id)):
        with pytest.raises(LookupError):
            await call
    for role in (Role.CUSTOMER, Role.RIDER, Role.OPERATOR):
        with pytest.raises(Forbidden):
            await home.webhooks.all(Principal("x:y", role))
    with pytest.raises(WebhookConflict, match="register your store"):
        await home.webhooks.create(Principal("store:new", Role.STORE), NewWebhook(shop.url))


async def test_only_what_was_asked_for_and_only_from_then_on(home: House) -> None:
    await home.happen(*story(1))
    with receiving() as shop:
        home.clock.advance(1)
        await home.add(shop.url, events=("majung.order.delivered.v1",))
        await home.happen(*story(2))
        await home.settle()
        assert shop.ids == ["e-2-7"]


async def test_a_receiver_that_is_down_for_two_days_misses_nothing(home: House) -> None:
    with receiving(lambda call: NO) as shop:
        hook, _ = await home.add(shop.url)
        for number in range(1, 6):
            await home.happen(*story(number))
            await home.days(0.4)
        before = len(shop.calls)
        assert before < 250, "a receiver that is down is not hammered"
        assert (await home.shown(hook.webhook_id)).failing_since_ms
        shop.calls.clear()
        shop.answer = lambda call: YES
        await home.days(0.5)
        wanted = [one.event_id for number in range(1, 6) for one in story(number)]
        assert Counter(shop.ids) == Counter(wanted)
        for number in range(1, 6):
            assert versions(shop.calls, f"ord-{number:04d}") == list(range(1, 8))
        shown = await home.shown(hook.webhook_id)
        assert (shown.waiting, shown.failing_since_ms, shown.last_problem) == (0, 0, "")


async def test_what_fails_for_three_days_is_dead_and_can_be_replayed(home: House) -> None:
    def answer(call: Call) -> Reply:
        return NO if call.id == "e-1-3" else YES

    with receiving(answer) as shop:
        hook, _ = await home.add(shop.url)
        await home.happen(*story(1))
        await home.settle()
        assert shop.ids == ["e-1-1", "e-1-2", "e-1-3"], "later ones of the order wait for the first tries"
        await home.days(0.25, step_s=300)
        assert set(shop.ids) == {one.event_id for one in story(1)}, "and not for ever"
        await home.days(3.0)
        (dead,) = await deliveries(home, hook.webhook_id, Status.DEAD)
        assert (dead.event_id, dead.http_status, dead.answer) == ("e-1-3", 500, "no, sorry")
        assert 5 <= dead.attempts <= 20
        assert json.loads(dead.request)["data"]["version"] == 3
        shop.answer = lambda call: YES
        shop.calls.clear()
        assert await home.webhooks.replay(ADMIN, hook.webhook_id, Replay(deliveries=(dead.number,))) == 1
        await home.settle()
        assert shop.ids == ["e-1-3"]
        again = Replay(status=Status.DONE, from_ms=1_780_000_000_006, to_ms=1_780_000_000_008)
        assert await home.webhooks.replay(ADMIN, hook.webhook_id, again) == 2
        await home.settle()
        assert shop.ids == ["e-1-3", "e-1-6", "e-1-7"]
        with pytest.raises(ValueError, match="say which"):
            await home.webhooks.replay(ADMIN, hook.webhook_id, Replay())


async def test_an_endpoint_that_is_gone_is_disabled_until_somebody_wakes_it(home: House) -> None:
    with receiving(lambda call: (410, {})) as shop:
        hook, _ = await home.add(shop.url)
        await home.happen(*story(1, last=2))
        await home.settle()
        shown = await home.shown(hook.webhook_id)
        assert (shown.state, shown.reason, shown.waiting, shown.dead) == (
            State.DISABLED, "it answered 410 Gone", 0, 2,
        )  # fmt: skip
        trail = await home.webhooks.trail(ADMIN, hook.webhook_id)
        assert ("majung", "disabled") in [(entry.actor, entry.what) for entry in trail]
        await home.happen(*story(2))
        await home.days(0.1)
        assert len(shop.calls) == 1
        with pytest.raises(WebhookConflict, match="disabled"):
            await home.webhooks.replay(ADMIN, hook.webhook_id, Replay(status=Status.DEAD))
        shop.answer = lambda call: YES
        await home.webhooks.change(ADMIN, hook.webhook_id, WebhookChange(active=True))
        assert await home.webhooks.replay(ADMIN, hook.webhook_id, Replay(status=Status.DEAD)) == 2
        await home.settle()
        assert shop.ids[1:] == ["e-1-1", "e-1-2"]


async def test_days_of_nothing_but_failures_disable_an_endpoint(home: House) -> None:
    with receiving(lambda call: NO) as shop:
        hook, _ = await home.add(shop.url)
        for number in range(1, 8):
            await home.happen(event(number, 1))
            await home.days(0.9, step_s=7_200)
        shown = await home.shown(hook.webhook_id)
        assert shown.state is State.DISABLED
        assert "5 days" in shown.reason
        assert shown.waiting == 0


async def test_failures_beside_successes_disable_nothing(home: House) -> None:
    tried: Counter[str] = Counter()

    def every_second_order_at_first(call: Call) -> Reply:
        tried[call.id] += 1
        return NO if tried[call.id] == 1 and int(call.event["subject"][-1]) % 2 else YES

    with receiving(every_second_order_at_first) as shop:
        hook, _ = await home.add(shop.url)
        await home.happen(*(one for number in range(1, 10) for one in story(number)))
        await home.days(0.5, step_s=60)
        shown = await home.shown(hook.webhook_id)
        assert (shown.state, shown.waiting, shown.dead) == (State.ACTIVE, 0, 0)
        assert set(tried.values()) == {1, 2}


async def test_retry_after_is_kept_and_a_redirect_is_not_followed(home: House) -> None:
    with receiving() as elsewhere, receiving(lambda call: (503, {"retry-after": "3600"})) as shop:
        hook, _ = await home.add(shop.url)
        await home.happen(event(1, 1), event(2, 1))
        await home.settle()
        assert len(shop.calls) <= home.settings.at_once
        count = len(shop.calls)
        home.clock.advance(3_500)
        await home.settle()
        assert len(shop.calls) == count
        shop.answer = lambda call: (307, {"location": elsewhere.url})
        home.clock.advance(1_000)
        await home.settle()
        assert len(shop.calls) == 2 * count
        assert elsewhere.calls == []
        assert "redirects are not followed" in (await home.shown(hook.webhook_id)).last_problem


async def test_a_slow_endpoint_delays_nobody_else(home: House) -> None:
    stuck = threading.Event()

    def slowly(call: Call) -> Reply:
        stuck.wait(60)
        return YES

    with receiving(slowly) as slow, receiving() as quick:
        try:
            await home.add(slow.url)
            await home.add(quick.url)
            await home.happen(*story(1), *story(2), *story(3))
            home.webhooks.courier._start_due()
            lane = home.webhooks.courier._lanes[next(iter(home.webhooks.registry)).webhook_id]
            while len(quick.calls) < 21:
                await home.pause()
            assert slow.in_the_air > 0
            assert lane.task is not None
            assert not lane.task.done()
        finally:
            stuck.set()
        await home.settle()
        assert Counter(slow.ids) == Counter(quick.ids)


async def test_private_addresses_are_refused(home: House) -> None:
    for url in (
        "http://10.0.0.1/",
        "https://169.254.169.254/latest",
        "https://[::1]/",
        "ftp://x.example/",
        "x",
    ):
        with pytest.raises(ValueError, match="URL"):
            await home.add(url)
    hook, _ = await home.add("http://127.0.0.1:9/")  # loopback is allowed here; nobody listens on that port
    attempt = await home.webhooks.ping(ADMIN, hook.webhook_id)
    assert (attempt.ok, attempt.http_status) == (False, 0)
    assert attempt.problem


async def test_two_signatures_while_a_secret_is_replaced(home: House) -> None:
    with receiving() as shop:
        hook, old = await home.add(shop.url)
        home.clock.advance(1)
        fresh = (await home.webhooks.rotate(ADMIN, hook.webhook_id)).secret
        assert (await home.webhooks.ping(ADMIN, hook.webhook_id)).ok
        for secret in (old, fresh):
            shop.calls[-1].verify(secret)
        assert shop.calls[-1].event["type"] == "majung.ping.v1"
        home.clock.advance(86_401)
        await home.webhooks.ping(ADMIN, hook.webhook_id)
        shop.calls[-1].verify(fresh)
        with pytest.raises(BadSignature):
            shop.calls[-1].verify(old)
        trail = await home.webhooks.trail(ADMIN, hook.webhook_id)
        assert [entry.what for entry in trail] == ["secret_rotated", "created"]
        assert old not in str(trail)
        assert fresh not in str(trail)


async def test_past_its_bound_an_endpoint_is_read_on_from_the_log(tmp_path: Path) -> None:
    async with house(tmp_path, max_waiting=10) as home:
        with receiving(lambda call: NO) as shop:
            hook, _ = await home.add(shop.url)
            for number in range(1, 9):
                await home.happen(*story(number))
            shown = await home.shown(hook.webhook_id)
            assert shown.behind
            assert shown.waiting <= 10
            await home.stop()
            await home.start()  # what it is behind by survives a restart
            assert (await home.shown(hook.webhook_id)).behind
            shop.answer = lambda call: YES
            shop.calls.clear()
            await home.days(0.6, step_s=600)
            wanted = [one.event_id for number in range(1, 9) for one in story(number)]
            assert Counter(shop.ids) == Counter(wanted)
            assert not (await home.shown(hook.webhook_id)).behind
            await home.happen(*story(9))
            await home.settle()
            assert len(shop.calls) == 63


async def test_paused_nothing_is_sent_and_nothing_missed(home: House) -> None:
    with receiving() as shop:
        hook, _ = await home.add(shop.url)
        await home.webhooks.change(ADMIN, hook.webhook_id, WebhookChange(active=False))
        await home.happen(*story(1))
        await home.settle()
        assert shop.calls == []
        assert (await home.shown(hook.webhook_id)).waiting == 7
        await home.webhooks.change(ADMIN, hook.webhook_id, WebhookChange(active=True))
        await home.settle()
        assert len(shop.calls) == 7


async def test_what_is_deleted_leaves_nothing(home: House) -> None:
    with receiving(lambda call: NO) as shop:
        hook, _ = await home.add(shop.url)
        await home.happen(*story(1))
        await home.webhooks.delete(ADMIN, hook.webhook_id)
        assert await home.database.read("SELECT COUNT(*) FROM webhook_delivery") == [(0,)]
        await home.happen(*story(2))
        await home.settle()
        assert shop.calls == []
        with pytest.raises(LookupError):
            await home.shown(hook.webhook_id)


async def test_an_account_that_is_revoked_is_told_nothing_more(home: House) -> None:
    account = (
        """INSERT INTO account (name, role, password_hash, created_at_ms, store_id) VALUES (?, ?, '', 0, ?)"""
    )
    await home.database.write(lambda tx: tx.execute(account, ("owner", "store", "s1")))
    with receiving() as shop:
        hook, _ = await home.add(shop.url, STORE)
        await home.webhooks.tend()
        assert (await home.shown(hook.webhook_id)).state is State.ACTIVE

        def revoke(tx: Any) -> None:
            tx.execute("UPDATE account SET revoked_at_ms = 1 WHERE name = 'owner'")
            tx.execute("UPDATE auth_change SET version = version + 1")

        await home.database.write(revoke)
        home.clock.advance(1)
        await home.webhooks.tend()
        shown = await home.shown(hook.webhook_id)
        assert (shown.state, "revoked" in shown.reason) == (State.DISABLED, True)


async def test_bounds_are_kept(tmp_path: Path) -> None:
    async with house(tmp_path, max_endpoints=2, keep_for="1d", keep_dead_for="2d") as home:
        with receiving() as shop:
            await home.add(shop.url)
            hook, _ = await home.add(shop.url)
            with pytest.raises(WebhookConflict, match="2 webhooks already"):
                await home.add(shop.url)
            await home.database.write(lambda tx: tx.execute(ACCOUNT, ("owner", "store", "s1")))
            await home.add(shop.url, STORE)  # a store's own count
            await home.happen(*story(1))
            await home.settle()
            assert len(await deliveries(home, hook.webhook_id)) == 7
            await home.days(1.5)
            assert await deliveries(home, hook.webhook_id) == []
