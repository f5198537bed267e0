"""Photos and signatures go when their time is over, and not before."""

import os
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from majung.backends.embedded.database import EmbeddedDatabase
from majung.clock import ManualClock
from majung.orders.model import Command, CommandArgs, Order
from majung.orders.proof_keeping import ProofKeeping
from majung.orders.proofs import ProofStore, Signature
from majung.orders.service import OrderService
from tests.orders_kit import ARGS, CUSTOMER, HAPPY, RIDER, WISH, OpenStore

DAY_S = 86_400.0


class Desk:
    def __init__(self, folder: Path, database: EmbeddedDatabase) -> None:
        self.clock = ManualClock()
        self.folder = folder / "proofs"
        self.database = database
        self.orders = OrderService(database, self.clock, OpenStore())
        self.proofs = ProofStore(self.folder, database)

    def keeping(self, keep_for: timedelta | None) -> ProofKeeping:
        return ProofKeeping(self.folder, self.database, keep_for)

    async def under_way(self) -> Order:
        order = await self.orders.place(WISH, CUSTOMER.id)
        for command, actor in HAPPY[:5]:
            order = await self.orders.command(
                order.order_id, command, actor, ARGS.get(command, CommandArgs())
            )
        return order

    async def sign(self, order: Order) -> CommandArgs:
        """A signature, written at the time of the clock."""
        proof = await self.proofs.add_signature(order.order_id, RIDER, Signature("M 0 0 L 9 9"))
        now_s = self.clock.now_ms() / 1000
        os.utime(self.folder / order.order_id / proof.ref, (now_s, now_s))
        return CommandArgs(proof=proof)

    def files(self) -> set[str]:
        return {file.name for file in self.folder.rglob("*.svg")}


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    database = await EmbeddedDatabase(tmp_path / "majung.db").open()
    yield Desk(tmp_path, database)
    await database.close()


async def test_a_proof_goes_so_long_after_the_end_and_its_order_says_so(desk: Desk) -> None:
    order = await desk.under_way()
    signed = await desk.sign(order)
    desk.clock.advance(20 * DAY_S)  # on the way for very long: the end counts, not the upload
    keeping = desk.keeping(timedelta(days=30))
    assert await keeping.drop_old(desk.clock.now_ms()) == 0
    done = await desk.orders.command(order.order_id, Command.DELIVER, RIDER, signed)
    desk.clock.advance(30 * DAY_S - 1)
    assert await keeping.drop_old(desk.clock.now_ms()) == 0
    assert (await desk.proofs.read(done))[0] == "image/svg+xml"
    desk.clock.advance(2)
    assert await keeping.drop_old(desk.clock.now_ms()) == 1
    assert not (desk.folder / order.order_id).exists()
    kept = await desk.orders.get_for_write(order.order_id)
    assert kept.proof is not None and kept.proof.kind == "signature"
    with pytest.raises(LookupError, match="no longer kept"):
        await desk.proofs.read(kept)


async def test_unset_keeps_for_ever_and_only_what_nobody_named_goes_after_a_day(desk: Desk) -> None:
    order = await desk.under_way()
    unused, used = await desk.sign(order), await desk.sign(order)
    await desk.orders.command(order.order_id, Command.DELIVER, RIDER, used)
    assert unused.proof is not None and used.proof is not None
    keeping = desk.keeping(None)
    desk.clock.advance(DAY_S - 1)
    assert await keeping.drop_old(desk.clock.now_ms()) == 0
    assert desk.files() == {unused.proof.ref, used.proof.ref}
    desk.clock.advance(2)
    assert await keeping.drop_old(desk.clock.now_ms()) == 1
    desk.clock.advance(4_000 * DAY_S)
    assert await keeping.drop_old(desk.clock.now_ms()) == 0
    assert desk.files() == {used.proof.ref}


async def test_files_of_no_order_go_as_well(desk: Desk) -> None:
    stray = desk.folder / "ord-nobody"
    stray.mkdir(parents=True)
    (stray / "half.jpg.part").write_bytes(b"x")
    now_s = desk.clock.now_ms() / 1000
    os.utime(stray / "half.jpg.part", (now_s, now_s))
    keeping = desk.keeping(None)
    assert await keeping.drop_old(desk.clock.now_ms()) == 0
    desk.clock.advance(DAY_S + 1)
    assert await keeping.drop_old(desk.clock.now_ms()) == 1
    assert not stray.exists()
    assert await desk.keeping(timedelta(days=1)).drop_old(desk.clock.now_ms()) == 0
