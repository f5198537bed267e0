"""When a phone is told names and faces again."""

from majung.clock import ManualClock
from majung.friends import cards
from majung.friends.cards import AGAIN_AFTER_S, Cards


def test_cards_come_first_and_not_again_for_a_while() -> None:
    told = Cards(clock := ManualClock())
    assert told.are_due("phone", ["a", "b"])
    assert not told.are_due("phone", ["a", "b"])
    assert not told.are_due("phone", ["b"])
    clock.advance(AGAIN_AFTER_S - 1)
    assert not told.are_due("phone", ["a"])
    clock.advance(1)
    assert told.are_due("phone", ["a"])


def test_somebody_new_brings_them_all() -> None:
    told = Cards(ManualClock())
    assert told.are_due("phone", ["a"])
    assert told.are_due("phone", ["a", "b"])
    assert not told.are_due("phone", ["a", "b"])


def test_each_phone_for_itself_and_nobody_needs_none() -> None:
    told = Cards(ManualClock())
    assert told.are_due("phone", ["a"])
    assert told.are_due("tablet", ["a"])
    assert not told.are_due("watch", [])


def test_what_is_remembered_is_bounded() -> None:
    told = Cards(ManualClock())
    for number in range(cards.MAX_PHONES + 10):
        assert told.are_due(f"phone {number}", ["a"])
    assert told.are_due("phone 0", ["a"])  # forgotten, and told again
    assert not told.are_due(f"phone {cards.MAX_PHONES + 9}", ["a"])
