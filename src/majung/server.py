"""One running server: services, background work and doors, started and stopped in the right order."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import structlog

from majung.auth.reporters import Reporters
from majung.compose import open_services
from majung.garbage import collect_rarely
from majung.positions.erase import finish_erasures
from majung.serve.grpc_door import GrpcDoor
from majung.serve.http.app import build_app
from majung.serve.http.hot import HotRoutes
from majung.serve.http.listener import HttpListener
from majung.serve.mqtt.door import MqttDoor
from majung.serve.mqtt.link import require_mqtt
from majung.serve.mqtt.out import FriendsOut
from majung.services import Services
from majung.settings import Settings

log = structlog.get_logger("majung.server")

_EXPIRE_EVERY_S = 1.0
_TEND_EVERY_S = 1.0
_HOUSEKEEPING_EVERY_S = 60.0
_SPARE_CONNECTIONS = 10_000


class RunningServer:
    """What is listening where."""

    def __init__(self, services: Services, http: HttpListener, grpc: GrpcDoor) -> None:
        self.services = services
        self.http = http
        self.grpc = grpc


def _every(seconds: float, work: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[None]]:
    async def loop() -> None:
        while True:
            await asyncio.sleep(seconds)
            await work()

    return loop


async def _start_work(services: Services) -> None:
    """Everything in the background; returns when the live view has been rebuilt."""
    supervisor = services.supervisor
    await services.fences.load()
    await services.stores.load()
    await services.notify.load()
    await services.dispatch.load()
    await services.eta.load()
    await services.webhooks.load()
    await services.friends.changes.load()
    supervisor.start("positions", services.pipeline.run)
    supervisor.start("quarantine", services.quarantine.run)
    supervisor.start("hub", services.hub.run)
    supervisor.start("outbox", services.relay.run)
    supervisor.start("order-views", services.order_views.run)
    supervisor.start("order-live", services.order_live.run)
    await services.pipeline.restored.wait()
    await services.order_views.restored.wait()
    supervisor.start("dispatch-events", services.dispatch.consume)
    supervisor.start("dispatch", services.dispatch.run)
    supervisor.start("eta-events", services.eta.run)
    supervisor.start("eta", services.eta.tick)
    supervisor.start("eta-streets", services.eta.streets)
    supervisor.start("notify-events", services.notify.consume)
    supervisor.start("notify", services.notify.run)
    supervisor.start("push", services.push_sender.run)
    for name, work in services.webhooks.work().items():
        supervisor.start(name, work)
    supervisor.start("friends-changes", services.friends.changes.follow)
    await services.friends.nearby.load()
    supervisor.start("friends-nearby", services.friends.nearby.run)
    supervisor.start("webhooks-tend", _every(_TEND_EVERY_S, services.webhooks.tend))
    supervisor.start("expire", _every(_EXPIRE_EVERY_S, services.pipeline.expire))
    supervisor.start("housekeeping", _every(_HOUSEKEEPING_EVERY_S, lambda: _housekeeping(services)))


def _start_mqtt(services: Services) -> None:
    """The door of the MQTT broker, when there is one."""
    settings = services.settings.mqtt
    if not settings.url:
        return
    reporters = Reporters(services.database, services.clock, services.auth.changes)
    friends = FriendsOut(
        settings, services.friends.nearby, services.friends.people, reporters, services.clock
    )
    door = MqttDoor(settings, services.ingest, reporters, friends)
    services.figures.append(door.figures)
    services.supervisor.start("mqtt", door.run)


async def _housekeeping(services: Services) -> None:
    """Retention: each store drops what is older than it promises to keep."""
    now_ms = services.clock.now_ms()
    await services.log.drop_old(now_ms)
    await services.history.drop_old(now_ms)
    await services.quarantine.drop_old()
    await services.fences.drop_old(now_ms)
    await services.relay.drop_old(now_ms)
    await services.proof_keeping.drop_old(now_ms)
    await services.dispatch.drop_old(now_ms)
    await services.eta.drop_old(now_ms)
    await services.webhooks.drop_old(now_ms)
    await services.notify.drop_old(now_ms)
    await services.push_sender.drop_old(now_ms)
    await services.shares.drop_old(now_ms)
    await finish_erasures(services.pipeline)
    await services.friends.drop_old(now_ms)


@contextlib.asynccontextmanager
async def running(
    settings: Settings, prepare: Callable[[Services], Awaitable[None]]
) -> AsyncIterator[RunningServer]:
    """Start a server; on leaving, drain it: doors first, then what they had accepted, then the backends.

    `prepare` is awaited before the doors open (the first start makes an account).
    The doors open when the live view has been rebuilt, so that the first reader sees everybody.
    """
    if settings.mqtt.url:
        require_mqtt(settings.mqtt)
    async with open_services(settings) as services:
        grpc = GrpcDoor(settings.server, services.ingest, services.auth, services.limiter)
        services.streams = lambda: grpc.open_streams
        http = HttpListener(
            HotRoutes(build_app(services), services),
            settings.server,
            settings.live.max_viewers + _SPARE_CONNECTIONS,
        )
        drain_s = settings.server.drain_for.total_seconds()
        try:
            await prepare(services)
            await _start_work(services)
            await grpc.start()
            await http.start()
            _start_mqtt(services)
            collect_rarely()
            log.info("serving", http=f"port {http.port}", grpc=f"port {grpc.port}", data=str(settings.data))
            yield RunningServer(services, http, grpc)
            log.info("draining")
        finally:
            services.hub.close()
            services.order_live.close()
            services.friends.nearby.close()
            await asyncio.gather(grpc.stop(drain_s), http.stop(), services.supervisor.stop("mqtt"))
            await services.pipeline.stop(services.supervisor, drain_s)
            await services.supervisor.stop_all()
    log.info("stopped")
