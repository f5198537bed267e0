"""`EmbeddedFanout` keeps the contract."""

import pytest

from majung.backends.embedded.fanout import EmbeddedFanout
from tests.contract.fanout_contract import FanoutContract, Settle


class TestEmbeddedFanout(FanoutContract):
    @pytest.fixture
    def fanout(self) -> EmbeddedFanout:
        return EmbeddedFanout()

    @pytest.fixture
    def settle(self) -> Settle:
        async def at_once() -> None:
            """The call of `publish` hands over."""

        return at_once

    async def test_a_receiver_may_leave_while_it_receives(self, fanout: EmbeddedFanout) -> None:
        got: list[bytes] = []

        async def go() -> None:
            await leave()

        def once(message: bytes) -> None:
            got.append(message)
            coroutine = go()
            with pytest.raises(StopIteration):
                coroutine.send(None)

        leave = await fanout.subscribe("a", once)
        await fanout.subscribe("a", got.append)
        await fanout.publish("a", b"1")
        await fanout.publish("a", b"2")
        assert got == [b"1", b"1", b"2"]
