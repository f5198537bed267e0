"""Everything that an entry point may call, built once by `compose.py` and handed to every door."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from majung.addresses.service import AddressService
from majung.auth.limits import RateLimiter
from majung.auth.policy import Policy
from majung.auth.service import AuthService
from majung.auth.sign_up import SignUp
from majung.clock import Clock
from majung.dispatch.service import Dispatch
from majung.eta.service import EtaService
from majung.friends.service import Friends
from majung.live.hub import Hub
from majung.notify.sender import PushSender
from majung.notify.service import Notifier
from majung.notify.subscriptions import Subscriptions
from majung.observe.families import Figure
from majung.observe.ledger import Ledger
from majung.observe.metrics import Rates
from majung.orders.order_live import OrderLive
from majung.orders.proof_keeping import ProofKeeping
from majung.orders.proofs import ProofStore
from majung.orders.service import OrderService
from majung.orders.views import OrderViews
from majung.outbox.relay import Relay
from majung.outward import Outward
from majung.ports import Database, DisposableDatabase, Fanout, History, LiveStore, Log
from majung.positions.fences import FenceService
from majung.positions.ingest import Ingest
from majung.positions.pipeline import Pipeline
from majung.positions.quarantine import QuarantineStore
from majung.routing.service import Routing
from majung.settings import Settings
from majung.share.service import ShareService
from majung.stores.service import StoreService
from majung.tasks import Supervisor
from majung.webhooks.service import Webhooks


@dataclass
class Services:
    """One server's use cases and the ports beneath them."""

    settings: Settings
    clock: Clock
    supervisor: Supervisor
    log: Log
    live: LiveStore
    history: History
    database: Database
    fanout: Fanout
    ledger: Ledger
    ingest: Ingest
    pipeline: Pipeline
    auth: AuthService
    limiter: RateLimiter
    policy: Policy
    hub: Hub
    fences: FenceService
    quarantine: QuarantineStore
    rates: Rates
    stores: StoreService
    sign_up: SignUp
    orders: OrderService
    proofs: ProofStore
    proof_keeping: ProofKeeping
    relay: Relay
    dispatch: Dispatch
    views_db: DisposableDatabase
    order_live: OrderLive
    order_views: OrderViews
    shares: ShareService
    addresses: AddressService
    outward: Outward
    webhooks: Webhooks
    notify: Notifier
    subscriptions: Subscriptions
    push_sender: PushSender
    router: Routing
    eta: EtaService
    friends: Friends
    streams: Callable[[], int] = lambda: 0
    figures: list[Callable[[], Sequence[Figure]]] = field(default_factory=list)
    """What entry points say of themselves in `/metrics`."""
