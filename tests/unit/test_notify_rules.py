"""Who is told what: the table against the table of states, and every text in both languages."""

import msgspec
import pytest

from majung.notify.model import Kind, Params
from majung.notify.rules import TABLE as TELLS
from majung.notify.rules import drafts_of
from majung.notify.words import text_of
from majung.orders.model import Actor, Command, OrderEvent, OrderState
from majung.orders.table import TABLE
from tests.notify_kit import seen
from tests.order_views_kit import event

OF_STATE = {state: Kind(state.value.lower()) for state in OrderState}
PARAMS: Params = {
    "store": "강남 국수",
    "minutes": 15,
    "reason": "재료 소진",
    "by": "store",
    "total_krw": 12500,
    "within_m": 100,
    "distance_m": 2340,
}


def told(happened: OrderEvent, was_rider: str = "") -> list[tuple[str, Kind]]:
    return [(draft.recipient, draft.kind) for draft in drafts_of(seen([happened])[0], was_rider)]


def turned(command: Command, actor: Actor, state: OrderState, rider_id: str = "r1") -> OrderEvent:
    made = event(1, 3, rider_id=rider_id, state=state)
    return msgspec.structs.replace(made, command=command.value, actor=actor)


@pytest.mark.parametrize(("before", "command"), list(TABLE), ids=str)
def test_the_customer_is_told_every_change_of_state(before: OrderState, command: Command) -> None:
    after, actors = TABLE[before, command]
    for actor in actors:
        kinds = [kind for to, kind in told(turned(command, actor, after)) if to == "customer:ann"]
        assert kinds == ([OF_STATE[after]] if after is not before else [])


def test_who_hears_of_a_new_order() -> None:
    assert told(event(1, 1)) == [("customer:ann", Kind.RECEIVED), ("store:s1", Kind.NEW_ORDER)]


def test_who_did_it_is_not_told_beside_the_customer() -> None:
    cancelled = [
        told(turned(Command.CANCEL, actor, OrderState.CANCELLED)) for actor in (Actor.STORE, Actor.ADMIN)
    ]
    assert [to for to, _ in cancelled[0]] == ["customer:ann", "rider:r1"]
    assert [to for to, _ in cancelled[1]] == ["customer:ann", "store:s1", "rider:r1"]
    assigned = turned(Command.ASSIGN, Actor.DISPATCH, OrderState.COOKING)
    assert told(assigned) == [("store:s1", Kind.RIDER_ASSIGNED)]


def test_a_rider_who_loses_the_order_is_told() -> None:
    handed = turned(Command.ASSIGN, Actor.ADMIN, OrderState.DELIVERING, "r2")
    assert told(handed, "r1") == [
        ("store:s1", Kind.RIDER_ASSIGNED),
        ("rider:r2", Kind.ASSIGNED),
        ("rider:r1", Kind.TAKEN_AWAY),
    ]
    taken = turned(Command.UNASSIGN, Actor.ADMIN, OrderState.COOKING, "")
    assert ("rider:r1", Kind.TAKEN_AWAY) in told(taken, "r1")
    given_back = turned(Command.UNASSIGN, Actor.RIDER, OrderState.COOKING, "")
    assert told(given_back, "r1") == [("store:s1", Kind.RIDER_LEFT)]
    again = turned(Command.ASSIGN, Actor.ADMIN, OrderState.DELIVERING, "r1")
    assert ("rider:r1", Kind.TAKEN_AWAY) not in told(again, "r1")


def test_what_is_not_told_is_chosen() -> None:
    assert set(Command) - set(TELLS) == {Command.SET_COOKING_TIME}  # the expected time says it


@pytest.mark.parametrize("language", ["ko", "en"])
@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_has_words(kind: Kind, language: str) -> None:
    title, body = text_of(kind, "ord-0123456789abcde", dict(PARAMS), language)
    assert title and body
    assert "{" not in title + body
    korean = any("가" <= letter <= "힣" for letter in title)
    assert korean == (language == "ko")


def test_values_are_not_read_as_templates() -> None:
    for reason in ("{store}", "{0}", "{", "%s", "{params.__class__}"):
        _, body = text_of(Kind.CANCELLED, "ord-1", {"store": "{minutes}", "reason": reason}, "en")
        assert body == f"{{minutes}} · {reason}"
    _, body = text_of(Kind.REJECTED, "ord-1", {"store": "a", "reason": ""}, "en")
    assert body == "a"
    assert len(text_of(Kind.CANCELLED, "ord-1", {"store": "a" * 9999, "reason": "b" * 9999}, "ko")[1]) < 500


def test_money_and_ways_are_written_as_people_do() -> None:
    assert text_of(Kind.OFFER, "ord-1", dict(PARAMS), "ko")[1] == "강남 국수 · 2.3 km · 12,500원"
    assert (
        text_of(Kind.OFFER, "ord-1", {**PARAMS, "distance_m": 940}, "en")[1] == "강남 국수 · 940 m · ₩12,500"
    )
