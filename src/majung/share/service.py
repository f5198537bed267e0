"""Making, listing and revoking share links, and who stands behind a token."""

import contextlib
import hashlib
import secrets
from collections import Counter, OrderedDict
from collections.abc import Iterator
from datetime import timedelta

from majung.auth.credentials import new_id
from majung.auth.limits import RateLimiter
from majung.auth.model import AuthError, Forbidden, Principal, Role
from majung.auth.policy import Action, may
from majung.clock import Clock
from majung.orders.model import Order
from majung.orders.service import OrderService
from majung.orders.view_policy import Part, Scope, scope_of
from majung.orders.views import OrderViews, no_order
from majung.ports import Database, Overloaded, Transaction
from majung.settings import ShareSettings
from majung.share import store
from majung.share.model import NewShare, Share, ShareOver

MAX_TOKEN_CHARS = 64
SHORTEST = timedelta(minutes=1)
_ROWS_PER_ORDER = 200  # with those that are over: who makes and revokes all day stops here
_LOOK_EVERY_S = 0.3
_OVERLAP_MS = 60_000  # clocks of servers that revoke may differ by this much
_MAX_REVOKED = 20_000
_KEEP_MS = 7 * 24 * 3600 * 1000
_UNKNOWN = "there is no such link"


class TooManyShares(ValueError):
    """The order has as many links as one may have."""


class ShareService:
    """Share links. One for each server; of its event loop."""

    def __init__(
        self,
        database: Database,
        orders: OrderService,
        views: OrderViews,
        clock: Clock,
        settings: ShareSettings,
    ) -> None:
        self._database = database
        self._orders = orders
        self._views = views
        self._clock = clock
        self._settings = settings
        self._making = RateLimiter(settings.per_minute / 60, settings.per_minute, clock, exempt=())
        self._asking = RateLimiter(settings.reads_per_s, settings.reads_per_s * 10, clock, exempt=())
        self._guessing = RateLimiter(0.5, 30, clock, exempt=())
        self._streams: Counter[str] = Counter()
        self._revoked: OrderedDict[str, None] = OrderedDict()
        self._looked_s = float("-inf")
        self._looked_ms = clock.now_ms()

    # ------------------------------------------------------------------- for those who share an order

    async def create(
        self, principal: Principal, order_id: str, lifetime: timedelta | None, base_url: str
    ) -> NewShare:
        """A new link to an order of the caller's. Durable when it returns.

        Raises LookupError (no such order, or not the caller's), ShareOver (the order is over), ValueError (the
        lifetime, or too many links), RateLimited, Forbidden, PortError.
        """
        self._making.demand(principal.subject)
        lasts = self._settings.lasts if lifetime is None else lifetime
        if not SHORTEST <= lasts <= self._settings.lasts_at_most:
            raise ValueError(f"for: from 1m to {_words(self._settings.lasts_at_most)}")
        order = await self._own(principal, order_id)
        now_ms = self._clock.now_ms()
        self._check_alive(order, now_ms)
        share_id, token = new_id(), secrets.token_urlsafe(32)
        expires_ms = now_ms + round(lasts.total_seconds() * 1000)
        row: dict[str, str | int] = {
            "share_id": share_id,
            "token_sha256": _digest(token),
            "order_id": order_id,
            "made_by": principal.subject,
            "now_ms": now_ms,
            "expires_at_ms": expires_ms,
        }
        await self._database.write(lambda tx: self._insert(tx, row))
        path = f"/track/{token}"
        return NewShare(share_id, token, path, base_url.rstrip("/") + path, expires_ms)

    def _insert(self, tx: Transaction, row: dict[str, str | int]) -> None:
        of_order = {"order_id": row["order_id"], "now_ms": row["now_ms"]}
        ever, alive = tx.execute(store.COUNT_OF_ORDER, of_order)[0]
        if int(alive) >= self._settings.per_order or int(ever) >= _ROWS_PER_ORDER:
            raise TooManyShares(f"this order has {alive} links already; revoke one first")
        tx.execute(store.INSERT, row)

    async def of_order(self, principal: Principal, order_id: str) -> list[Share]:
        """The links of an order of the caller's, those that are over included, oldest first."""
        await self._own(principal, order_id)
        rows = await self._database.read(store.SELECT_OF_ORDER, {"order_id": order_id})
        return [store.share_of(row) for row in rows]

    async def revoke(self, principal: Principal, order_id: str, share_id: str) -> None:
        """End a link, and within a second what is open through it. Done again, it changes nothing."""
        if share_id not in [share.share_id for share in await self.of_order(principal, order_id)]:
            raise LookupError("this order has no such link")
        row = {"share_id": share_id, "order_id": order_id, "now_ms": self._clock.now_ms()}
        await self._database.write(lambda tx: tx.execute(store.REVOKE, row))
        self._remember(share_id)

    async def _own(self, principal: Principal, order_id: str) -> Order:
        """The order, if the caller may show it to others: its customer, and administrators."""
        scope = scope_of(principal)  # first: who may read no order learns of none
        order = await self._orders.get_for_write(order_id)
        if may(principal, Action.COMMAND_ANY_ORDER):
            return order
        if not scope.covers(order):
            raise no_order(order_id)
        if scope.part is not Part.CUSTOMER:
            raise Forbidden("an order is shared by its customer")
        return order

    # ---------------------------------------------------------------------- for whoever has a token

    async def visitor(self, token: str, remote: str) -> tuple[Principal, Order]:
        """Who a token stands for, and the order as it is (all of it: show it by the scope of the visitor).

        Raises LookupError (no such link), ShareOver, RateLimited, PortError.
        """
        self._asking.demand(remote)
        if self._guessing.wait_s(remote):
            self._guessing.demand(remote)
        # A token of the wrong length is looked up all the same: every wrong one takes the same way.
        params = {"token_sha256": _digest(token[:MAX_TOKEN_CHARS])}
        rows = await self._database.read(store.SELECT_BY_DIGEST, params)
        if not rows:
            self._guessing.take(remote)
            raise LookupError(_UNKNOWN)
        share = store.share_of(rows[0])
        if share.revoked_at_ms is not None:
            raise ShareOver("this link was taken back")
        now_ms = self._clock.now_ms()
        if share.expires_ms <= now_ms:
            raise ShareOver("this link has expired")
        order = await self._views.order(share.order_id, 1)
        self._check_alive(order, now_ms)
        return self._principal(share), order

    @staticmethod
    def _principal(share: Share) -> Principal:
        return Principal(
            f"share:{share.share_id}", Role.SHARE, expires_at_ms=share.expires_ms, order_id=share.order_id
        )

    async def still(self, visitor: Principal, ended_at_ms: int) -> Scope:
        """What the visitor of an open stream may see now. `ended_at_ms`: of the order, 0: not yet.

        Raises AuthError when the link is over, PortError. One read of the database serves all streams.
        """
        now_s = self._clock.monotonic_s()
        if now_s - self._looked_s >= _LOOK_EVERY_S:
            await self._look(now_s)
        if visitor.subject.removeprefix("share:") in self._revoked:
            raise AuthError("this link was taken back")
        if ended_at_ms and self._clock.now_ms() >= ended_at_ms + self._grace_ms:
            raise AuthError("the order is over")
        return scope_of(visitor)

    async def _look(self, now_s: float) -> None:
        now_ms = self._clock.now_ms()
        since = {"since_ms": min(self._looked_ms, now_ms) - _OVERLAP_MS}
        for (share_id,) in await self._database.read(store.SELECT_REVOKED_SINCE, since):
            self._remember(str(share_id))
        self._looked_s, self._looked_ms = now_s, now_ms

    def _remember(self, share_id: str) -> None:
        self._revoked[share_id] = None
        self._revoked.move_to_end(share_id)
        if len(self._revoked) > _MAX_REVOKED:
            self._revoked.popitem(last=False)

    def require_room(self, visitor: Principal) -> None:
        """Raises Overloaded when as many follow this link as may."""
        if self._streams[visitor.subject] >= self._settings.streams_per_link:
            raise Overloaded("too many follow this link at once")

    @contextlib.contextmanager
    def streaming(self, visitor: Principal) -> Iterator[None]:
        """While a stream is open through a link. Raises Overloaded past `share.streams_per_link`."""
        self.require_room(visitor)
        self._streams[visitor.subject] += 1
        try:
            yield
        finally:
            self._streams[visitor.subject] -= 1
            if not self._streams[visitor.subject]:
                del self._streams[visitor.subject]

    def _check_alive(self, order: Order, now_ms: int) -> None:
        if order.ended_at_ms and now_ms >= order.ended_at_ms + self._grace_ms:
            raise ShareOver("the order is over")

    @property
    def _grace_ms(self) -> int:
        return round(self._settings.after_end.total_seconds() * 1000)

    async def drop_old(self, now_ms: int) -> None:
        """Forget links a week after they expired: till then one is told that it was one."""
        params = {"before_ms": now_ms - _KEEP_MS}
        await self._database.write(lambda tx: tx.execute(store.DELETE_OLD, params))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _words(duration: timedelta) -> str:
    hours = duration.total_seconds() / 3600
    return f"{hours:g}h" if hours >= 1 else f"{hours * 60:g}m"
