"""Photos and signatures of a handover, as files in the data folder; bounded in size, kind and number.

The database counts what an order has stored before the file is written, so that no client can fill the disk.
"""

import asyncio
import os
import re
import secrets
from pathlib import Path

import msgspec

from majung.auth.model import Forbidden
from majung.orders import store
from majung.orders.change import check_part
from majung.orders.model import Actor, ActorRef, Order, OrderState, Proof
from majung.orders.picture import kind_of
from majung.ports import Database, PortError, StorageFull, Transaction

MAX_PHOTO_BYTES = 2 * 1024 * 1024
MAX_SIGNATURE_BYTES = 65_536
MAX_PER_ORDER = 4
_REF = re.compile(r"[0-9a-f]{32}\.(jpg|png|webp|svg)")
_PATH = re.compile(r"[MmLlHhVvCcSsQqTtAaZz0-9eE.,+\-\s]+")  # SVG path data, and nothing that could be markup
_SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"><path d="{path}" {stroke}/></svg>'
)
_STROKE = 'fill="none" stroke="#000" stroke-width="2"'
MEDIA_TYPES = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp", "svg": "image/svg+xml"}
_ON_THE_WAY = (OrderState.PICKED_UP, OrderState.DELIVERING)


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A signature as SVG path data (`M 10 20 L …`) within a box of `width` × `height`."""

    path: str
    width: int = 300
    height: int = 150


class ProofStore:
    """Keeps proofs under `folder`, one folder for each order."""

    def __init__(self, folder: Path, database: Database) -> None:
        self._folder = folder
        self._database = database

    async def add_photo(self, order_id: str, actor: ActorRef, body: bytes, by: str = "") -> Proof:
        """JPEG, PNG or WebP of at most 2 MiB. Raises ValueError, LookupError, Forbidden, PortError."""
        if not 1 <= len(body) <= MAX_PHOTO_BYTES:
            raise ValueError(f"the photo has {len(body)} bytes; allowed are 1 to {MAX_PHOTO_BYTES}")
        return await self._add(order_id, actor, "photo", kind_of(body), body, by)

    async def add_signature(self, order_id: str, actor: ActorRef, drawn: Signature, by: str = "") -> Proof:
        """A drawing of at most 64 KiB. Raises ValueError, LookupError, Forbidden, PortError."""
        if not 1 <= len(drawn.path) <= MAX_SIGNATURE_BYTES or not _PATH.fullmatch(drawn.path):
            raise ValueError(f"path: SVG path data of at most {MAX_SIGNATURE_BYTES} characters")
        if not (1 <= drawn.width <= 10_000 and 1 <= drawn.height <= 10_000):
            raise ValueError("width and height: from 1 to 10000")
        svg = _SVG.format(width=drawn.width, height=drawn.height, path=drawn.path, stroke=_STROKE)
        return await self._add(order_id, actor, "signature", "svg", svg.encode(), by)

    async def read(self, order: Order) -> tuple[str, bytes]:
        """Media type and bytes of the proof of a delivered order. Raises LookupError."""
        ref = order.proof.ref if order.proof else ""
        if not _REF.fullmatch(ref):
            raise LookupError("this order has no photo or signature")
        try:
            body = await asyncio.to_thread((self._folder / order.order_id / ref).read_bytes)
        except OSError:
            raise LookupError("the proof of this order is no longer kept") from None
        return MEDIA_TYPES[ref.rpartition(".")[2]], body

    def check(self, order_id: str, proof: Proof | None) -> None:
        """Return when a photo or signature that is named was stored for this order. Raises ValueError."""
        if proof is None or proof.kind not in ("photo", "signature"):
            return
        if not _REF.fullmatch(proof.ref) or (proof.kind == "signature") != proof.ref.endswith(".svg"):
            raise ValueError(f"proof: {proof.ref[:64]!r} names no {proof.kind}")
        if not (self._folder / order_id / proof.ref).is_file():
            raise ValueError("proof: send the photo or signature to this order's proof first")

    async def _add(
        self, order_id: str, actor: ActorRef, kind: str, ending: str, body: bytes, by: str
    ) -> Proof:
        def work(tx: Transaction) -> str:
            order = store.held(tx, order_id).order
            if not by:
                check_part(order, actor)
            if actor.kind not in (Actor.RIDER, Actor.ADMIN):
                raise Forbidden("a proof is for the rider to give")
            if order.state not in _ON_THE_WAY:
                raise ValueError(f"an order that is {order.state} takes no proof")
            if not tx.execute(store.COUNT_PROOF, (order_id, MAX_PER_ORDER)):
                raise ValueError(f"this order has {MAX_PER_ORDER} proofs already")
            return order.order_id

        folder = self._folder / await self._database.write(work)
        ref = f"{secrets.token_hex(16)}.{ending}"
        await asyncio.to_thread(_write, folder, ref, body)
        return Proof(kind, ref)


def _write(folder: Path, name: str, body: bytes) -> None:
    """Durable when it returns; under its name only when whole."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = folder / f"{name}.part"
        with part.open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        part.rename(folder / name)
    except OSError as problem:
        full = problem.errno in (28, 122)  # ENOSPC, EDQUOT
        raise (StorageFull if full else PortError)(f"{folder}: {problem}") from problem
