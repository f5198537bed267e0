"""Push subscriptions: which browsers of an account are told, and the key that push services know us by."""

import hashlib
from urllib.parse import urlsplit

import msgspec
from joserfc.jwk import ECKey

from majung.auth.model import Forbidden
from majung.clock import Clock
from majung.notify import store as sql
from majung.notify.push_crypto import Vapid, check_keys
from majung.notify.words import Language
from majung.outward import Outward
from majung.ports import Database, Transaction
from majung.settings import NotifySettings

MAX_ENDPOINT_CHARS = 1_000


class PushKeys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A browser's public key and secret, base64url, as `PushSubscription.toJSON()` gives them."""

    p256dh: str
    auth: str


class NewSubscription(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"expiration_time": "expirationTime"}
):
    """What `PushSubscription.toJSON()` gives, and the language of the page."""

    endpoint: str
    keys: PushKeys
    language: Language = "ko"
    expiration_time: float | None = None


class Subscription(msgspec.Struct, frozen=True):
    """A browser that is told. `origin` is its push service; the rest of its address is a secret."""

    subscription_id: str
    origin: str
    language: str
    created_at_ms: int


class Subscriptions:
    """One for each server; belongs to its event loop."""

    def __init__(
        self,
        database: Database,
        outward: Outward,
        clock: Clock,
        settings: NotifySettings,
        public_url: str = "",
    ) -> None:
        """`public_url` is whom push services turn to, unless `notify.push_contact` says otherwise."""
        self._database = database
        self._outward = outward
        self._clock = clock
        self._settings = settings
        self._contact = settings.push_contact or (public_url if public_url.startswith("https://") else "")
        self._vapid: Vapid | None = None

    async def vapid(self) -> Vapid:
        """The key of this server: made at its first start, kept in the database. Raises PortError."""
        if self._vapid is None:
            jwk = msgspec.json.encode(
                ECKey.generate_key("P-256", private=True).as_dict(private=True)
            ).decode()
            row = {"private_jwk": jwk, "now_ms": self._clock.now_ms()}

            def work(tx: Transaction) -> str:
                tx.execute(sql.INSERT_KEY, row)  # changes nothing when there is one
                return str(tx.execute(sql.SELECT_KEY)[0][0])

            kept = msgspec.json.decode(await self._database.write(work))
            self._vapid = Vapid(ECKey.import_key(kept), self._contact)
        return self._vapid

    async def add(self, account: str, recipient: str, wish: NewSubscription) -> Subscription:
        """Tell this browser from now on. Again is fine: it renews language and keys.

        A browser belongs to one account: when another signs in there, it takes the browser over, which it
        shows to be its own by the keys. Raises ValueError, Forbidden, PortError.
        """
        if len(wish.endpoint) > MAX_ENDPOINT_CHARS or not wish.endpoint.startswith("https://"):
            raise ValueError(f"endpoint: an https URL of at most {MAX_ENDPOINT_CHARS} characters")
        self._outward.check_url(wish.endpoint)
        check_keys(wish.keys.p256dh, wish.keys.auth)
        parts = urlsplit(wish.endpoint)
        now_ms = self._clock.now_ms()
        row = {
            "subscription_id": hashlib.sha256(wish.endpoint.encode()).hexdigest()[:32],
            "account_name": account,
            "recipient": recipient,
            "endpoint": wish.endpoint,
            "origin": f"https://{parts.netloc.lower()}",
            "p256dh": wish.keys.p256dh,
            "auth": wish.keys.auth,
            "language": wish.language,
            "now_ms": now_ms,
        }
        keep = self._settings.push_per_account

        def work(tx: Transaction) -> None:
            known = tx.execute(sql.SELECT_SUBSCRIPTION, {"subscription_id": row["subscription_id"]})
            if known and known[0][0] != account and known[0][1:] != (wish.keys.p256dh, wish.keys.auth):
                raise Forbidden("this browser is subscribed for another account")
            if known and known[0][0] != account:
                tx.execute(sql.DROP_QUEUE, {"subscription_id": row["subscription_id"]})
            tx.execute(sql.PUT_SUBSCRIPTION, row)
            for (id_,) in tx.execute(sql.SELECT_SURPLUS, {"account_name": account, "keep": keep}):
                _remove(tx, id_)

        await self._database.write(work)
        found = [s for s in await self.of(account) if s.subscription_id == row["subscription_id"]]
        if not found:
            raise LookupError("the subscription was removed again")
        return found[0]

    async def of(self, account: str) -> list[Subscription]:
        """Those of an account, oldest first. Raises PortError."""
        rows = await self._database.read(sql.SELECT_OWN, {"account_name": account})
        return [Subscription(*row) for row in rows]

    async def remove(self, account: str, subscription_id: str) -> None:
        """Tell this browser no more. Raises LookupError, PortError."""

        def work(tx: Transaction) -> bool:
            asked = {"subscription_id": subscription_id, "account_name": account}
            if not tx.execute(sql.DELETE_OWN, asked):
                return False
            tx.execute(sql.DROP_QUEUE, {"subscription_id": subscription_id})
            return True

        if not await self._database.write(work):
            raise LookupError(f"no subscription {subscription_id[:64]!r}")

    async def forget(self, subscription_id: str) -> None:
        """Its push service says that it is gone. Raises PortError."""
        await self._database.write(lambda tx: _remove(tx, subscription_id))


def _remove(tx: Transaction, subscription_id: str) -> None:
    tx.execute(sql.DELETE_SUBSCRIPTION, {"subscription_id": subscription_id})
    tx.execute(sql.DROP_QUEUE, {"subscription_id": subscription_id})
