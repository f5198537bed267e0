"""What every `Fanout` promises. The suite of an implementation inherits and gives two fixtures:

`fanout`: an open one; `settle`: waits until what was published has been handed over.
"""

from collections.abc import Awaitable, Callable

from majung.ports import Fanout

Settle = Callable[[], Awaitable[None]]


class FanoutContract:
    async def test_every_subscriber_of_the_channel_gets_it_and_nobody_else(
        self, fanout: Fanout, settle: Settle
    ) -> None:
        first: list[bytes] = []
        second: list[bytes] = []
        other: list[bytes] = []
        await fanout.subscribe("a", first.append)
        await fanout.subscribe("a", second.append)
        await fanout.subscribe("b", other.append)
        await fanout.publish("a", b"1")
        await settle()
        assert (first, second, other) == ([b"1"], [b"1"], [])

    async def test_one_channel_keeps_its_order(self, fanout: Fanout, settle: Settle) -> None:
        got: list[bytes] = []
        await fanout.subscribe("a", got.append)
        sent = [str(number).encode() for number in range(500)]
        for message in sent:
            await fanout.publish("a", message)
        await settle()
        assert got == sent

    async def test_any_bytes_pass_unchanged(self, fanout: Fanout, settle: Settle) -> None:
        got: list[bytes] = []
        await fanout.subscribe("채널 a", got.append)
        sent = [b"", bytes(range(256)), b"\r\n$5\r\n", "마중".encode(), b"x" * 300_000]
        for message in sent:
            await fanout.publish("채널 a", message)
        await settle()
        assert got == sent

    async def test_nothing_is_kept_for_who_comes_later(self, fanout: Fanout, settle: Settle) -> None:
        got: list[bytes] = []
        await fanout.publish("a", b"early")
        await settle()
        await fanout.subscribe("a", got.append)
        await fanout.publish("a", b"late")
        await settle()
        assert got == [b"late"]

    async def test_who_left_hears_no_more_and_the_others_do(self, fanout: Fanout, settle: Settle) -> None:
        left: list[bytes] = []
        stayed: list[bytes] = []
        leave = await fanout.subscribe("a", left.append)
        await fanout.subscribe("a", stayed.append)
        await leave()
        await leave()  # twice is once
        await fanout.publish("a", b"1")
        await settle()
        assert (left, stayed) == ([], [b"1"])

    async def test_a_receiver_that_raises_harms_no_other(self, fanout: Fanout, settle: Settle) -> None:
        got: list[bytes] = []

        def broken(_: bytes) -> None:
            raise RuntimeError("broken receiver")

        await fanout.subscribe("a", broken)
        await fanout.subscribe("a", got.append)
        await fanout.publish("a", b"1")
        await fanout.publish("a", b"2")
        await settle()
        assert got == [b"1", b"2"]

    async def test_publishing_to_nobody_is_fine(self, fanout: Fanout) -> None:
        await fanout.publish("nobody", b"1")

    async def test_after_close_nobody_hears(self, fanout: Fanout, settle: Settle) -> None:
        got: list[bytes] = []
        await fanout.subscribe("a", got.append)
        await fanout.close()
        await fanout.publish("a", b"1")
        await settle()
        assert got == []
