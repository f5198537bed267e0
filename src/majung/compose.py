"""The only place that chooses backends: settings in, services out.

A URL in `backends.*` names the implementation of each port; nothing else in Majung knows which it is.
"""

import contextlib
from collections.abc import AsyncIterator

from majung.addresses.service import AddressService
from majung.auth.limits import RateLimiter
from majung.auth.policy import Policy
from majung.auth.service import AuthService
from majung.auth.sign_up import SignUp
from majung.backends.embedded.database import EmbeddedDatabase
from majung.backends.embedded.fanout import EmbeddedFanout
from majung.backends.embedded.history import EmbeddedHistory
from majung.backends.embedded.livestore import EmbeddedLiveStore
from majung.backends.embedded.log import EmbeddedLog
from majung.backends.embedded.remade import RemadeDatabase
from majung.clock import Clock, SystemClock
from majung.data_folder import database_path, prepare_folder, views_path
from majung.dispatch.service import Dispatch
from majung.eta.service import EtaService
from majung.friends.channels import BucketChannels
from majung.friends.service import add_data, add_nearby
from majung.friends.service import assemble as assemble_friends
from majung.live.hub import Hub
from majung.notify.sender import PushSender
from majung.notify.service import Notifier
from majung.notify.subscriptions import Subscriptions
from majung.observe.ledger import Ledger
from majung.observe.metrics import Rates
from majung.orders.order_live import OrderLive
from majung.orders.proof_keeping import ProofKeeping
from majung.orders.proofs import ProofStore
from majung.orders.service import OrderService
from majung.orders.view_source import kept_events
from majung.orders.views import OrderViews
from majung.outbox.relay import Relay
from majung.outward import Outward
from majung.positions.erase import Erasures
from majung.positions.fences import FenceService
from majung.positions.ingest import Ingest
from majung.positions.pipeline import Pipeline
from majung.positions.quarantine import QuarantineStore
from majung.positions.triggers import Triggers
from majung.routing.service import open_routing
from majung.services import Services
from majung.settings import Settings
from majung.share.service import ShareService
from majung.stores.service import StoreService
from majung.tasks import Supervisor
from majung.webhooks.service import Webhooks

_KNOWN = {
    "log": "sqlite:",
    "live": "memory:",
    "fanout": "memory:",
    "database": "sqlite:",
    "history": "sqlite:",
}


def _require_known(settings: Settings) -> None:
    for port, url in _KNOWN.items():
        given = getattr(settings.backends, port)
        if given != url:
            raise ValueError(f"backends.{port}: {given!r} is not supported by this version; use {url!r}")


@contextlib.asynccontextmanager
async def open_services(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Services]:
    """Open every backend, build the use cases; close in the opposite order. Starts no background work."""
    _require_known(settings)
    clock = clock or SystemClock()
    data = settings.data
    prepare_folder(data)
    async with contextlib.AsyncExitStack() as stack:
        database = EmbeddedDatabase(database_path(data))
        await database.open()
        stack.push_async_callback(database.close)
        log = await EmbeddedLog.open(data / "log", settings.log, clock)
        stack.push_async_callback(log.close)
        live = await EmbeddedLiveStore.open(data, settings.cells, clock)
        stack.push_async_callback(live.close)
        history = EmbeddedHistory(data / "history", settings.history, clock)
        await history.open()
        stack.push_async_callback(history.close)
        fanout = EmbeddedFanout()
        stack.push_async_callback(fanout.close)

        ledger = Ledger()
        hub = Hub(settings.live, clock, live, fanout)
        triggers = Triggers(settings.triggers)
        fences = FenceService(database, triggers, clock, settings.triggers)
        fences.listeners.append(hub.fence_changed)
        auth = AuthService(database, clock, settings.auth)
        stack.callback(auth.close)
        policy = Policy(database, clock, auth.changes)
        stores = StoreService(database, live, clock, auth.accounts)
        orders = OrderService(database, clock, stores)
        relay = Relay(database, log, clock)
        views_db = await RemadeDatabase(views_path(data)).open()
        stack.push_async_callback(views_db.close)
        order_live = OrderLive(settings.live, clock, views_db, live)
        router = open_routing(settings, clock)
        stack.callback(router.close)
        eta = EtaService(database, log, live, router, order_live.tell, clock, settings.eta)
        hub.listeners.append(eta.positions)
        outward = Outward(settings.outward)
        stack.push_async_callback(outward.close)
        subscriptions = Subscriptions(database, outward, clock, settings.notify, settings.server.public_url)
        push_sender = PushSender(database, outward, subscriptions, clock, settings.notify)
        notifier = Notifier(database, log, live, order_live.tell, clock, settings.notify)
        notifier.wake_sender = push_sender.wake
        hub.listeners.append(notifier.positions)
        dispatch = Dispatch(database, log, live, orders, clock, settings.dispatch, router.way)
        dispatch.listeners.append(notifier.offer)
        hub.listeners.append(order_live.positions)
        orders.listeners.append(relay.wake)
        addresses = AddressService(data, clock, settings.addresses)
        stack.push_async_callback(addresses.close)
        order_views = OrderViews(log, views_db, clock, order_live, kept_events(database), views_db.start_over)
        views_db.listeners.append(order_views.lost)
        pipeline = Pipeline(
            log,
            live,
            history,
            hub,
            fences,
            triggers,
            ledger,
            clock,
            settings.positions,
            settings.friends.gone_after,
            Erasures(database, clock),
        )
        friends = assemble_friends(database, clock, policy, auth.accounts, settings.friends)
        nearby = add_nearby(
            friends,
            (live, history),
            BucketChannels(fanout),
            clock,
            auth.changes,
            settings.friends,
            settings.live,
        )
        add_data(friends, auth, pipeline, history, clock)
        pipeline.people_listeners.append(nearby.positions)
        pipeline.people_gone_listeners.append(nearby.gone)
        yield Services(
            settings=settings,
            clock=clock,
            supervisor=Supervisor(),
            log=log,
            live=live,
            history=history,
            database=database,
            fanout=fanout,
            ledger=ledger,
            ingest=Ingest(log, clock, settings.positions, ledger),
            pipeline=pipeline,
            auth=auth,
            limiter=RateLimiter(settings.server.rate_per_s, settings.server.rate_burst, clock),
            policy=policy,
            hub=hub,
            fences=fences,
            quarantine=QuarantineStore(log, database, clock, settings.positions),
            rates=Rates(),
            stores=stores,
            sign_up=SignUp(auth, clock, settings.delivery),
            orders=orders,
            proofs=ProofStore(data / "proofs", database),
            proof_keeping=ProofKeeping(data / "proofs", database, settings.delivery.keep_proofs_for),
            relay=relay,
            dispatch=dispatch,
            views_db=views_db,
            order_live=order_live,
            order_views=order_views,
            shares=ShareService(database, orders, order_views, clock, settings.share),
            addresses=addresses,
            outward=outward,
            webhooks=Webhooks(
                database,
                log,
                clock,
                policy,
                auth.changes,
                outward,
                settings.webhooks,
                settings.server.public_url or "/majung",
            ),
            notify=notifier,
            subscriptions=subscriptions,
            push_sender=push_sender,
            router=router,
            eta=eta,
            friends=friends,
        )
