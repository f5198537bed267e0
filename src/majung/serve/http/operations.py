"""Health, metrics and the loss ledger."""

from typing import Any

import msgspec
from litestar import Request, Response, get

from majung.auth.model import Principal
from majung.auth.policy import Action
from majung.observe.metrics import render
from majung.observe.stats import Snapshot, Stats
from majung.serve.http.auth import authenticate
from majung.services import Services

_LOOPBACK = ("127.0.0.1", "::1")
_RATES = ("received", "accepted", "quarantined", "stored", "shown")
METRICS_TYPE = "text/plain; version=0.0.4"  # Litestar adds the charset


class Readiness(msgspec.Struct, frozen=True):
    """Whether the server does its work, and what it waits for; `damage` is what was found in its files."""

    ready: bool
    waiting_for: list[str]
    damage: list[str]


async def snapshot(services: Services) -> Snapshot:
    """How the server is doing, now. The sums are checked on values of one moment (no await between)."""
    lag = await services.pipeline.lag()
    riders = await services.live.count()
    outbox = await services.relay.lag()
    pipeline, ledger, hub = services.pipeline, services.ledger, services.hub
    consumed = pipeline.consumed()
    return Snapshot(
        now_ms=services.clock.now_ms(),
        riders=riders,
        viewers=hub.viewers,
        device_streams=services.streams(),
        **msgspec.structs.asdict(ledger.door),
        **msgspec.structs.asdict(ledger.consumer),
        pending=ledger.pending_count(),
        appended=ledger.consumer.processed + lag.records,
        lag_records=lag.records,
        lag_s=round(lag.oldest_age_s, 3),
        ack_p99_ms=round(ledger.ack_p99_ms(), 3),
        ack_count=ledger.ack_count,
        ack_ms_sum=round(ledger.ack_ms_sum, 3),
        rebuild_s=round(pipeline.rebuild_seconds, 3),
        step_seconds=dict(pipeline.step_seconds),
        hub=hub.counters(),
        task_deaths=dict(services.supervisor.deaths),
        tasks_down=sorted(services.supervisor.down),
        ledger_errors=[] if consumed is None else ledger.check(consumed),
        damage=_damage(services),
        waiting_for_storage=pipeline.waiting_for_storage,
        outbox_records=outbox.records,
        outbox_s=round(outbox.oldest_age_s, 3),
        outbox_published=services.relay.published,
        eta_open=services.eta.open_orders,
        eta_late=services.eta.late_orders,
        eta_outcomes=dict(services.eta.outcomes),
        routes=dict(services.router.asked),
    )


def _damage(services: Services) -> list[str]:
    of_positions = services.log.damage() + services.live.damage() + services.history.damage()
    return of_positions + services.views_db.damage()


@get("/v1/stats", summary="Rates, lag and the loss ledger", tags=["operations"])
async def get_stats(services: Services, principal: Principal) -> Stats:
    """Totals, and rates per second between two calls that are at least a second apart."""
    services.policy.allow(principal, Action.READ_STATUS)
    now = msgspec.structs.asdict(await snapshot(services))
    return Stats(**now, rates=services.rates.update({f"{name}_per_s": now[name] for name in _RATES}))


@get("/healthz", summary="The process is alive", tags=["operations"], media_type="text/plain")
async def healthz() -> str:
    """200 as long as the event loop turns."""
    return "ok"


@get("/readyz", summary="Ready to take and show positions", tags=["operations"])
async def readyz(services: Services) -> Response[Readiness]:
    """200, or 503 with what is not ready."""
    waiting: list[str] = []
    if not services.pipeline.restored.is_set():
        waiting.append("rebuilding the live view")
    if services.pipeline.waiting_for_storage:
        waiting.append(f"storage: {services.pipeline.waiting_for_storage}")
    if not services.order_views.restored.is_set():
        waiting.append("rebuilding the views of orders")
    waiting += [f"task {name} is down" for name in sorted(services.supervisor.down)]
    return Response(Readiness(not waiting, waiting, _damage(services)), status_code=503 if waiting else 200)


@get("/metrics", summary="Prometheus metrics", tags=["operations"], media_type=METRICS_TYPE)
async def metrics(request: Request[Any, Any, Any], services: Services) -> bytes:
    """Open to this machine itself (the usual scraper beside the server); others need a token."""
    host = request.client.host if request.client else ""
    if host not in _LOOPBACK or "x-forwarded-for" in request.headers:
        principal = await authenticate(request, services)
        services.policy.allow(principal, Action.READ_METRICS)
    figures = [
        *services.orders.figures(),
        *services.order_live.figures(),
        *services.dispatch.figures(),
        *await services.webhooks.figures(),
        *services.notify.figures(),
        *await services.push_sender.figures(),
        *services.friends.nearby.figures(),
        *(figure for figures in services.figures for figure in figures()),
    ]
    return render(await snapshot(services), figures)


HANDLERS = [get_stats, healthz, readyz, metrics]
