"""Webhooks: endpoints, their secrets, what was sent to them and what came back, and sending it again.

An administrator has those of all events; a store's account has its own, which get the orders of that store.
What a receiver gets, and how it checks it, is in docs/webhooks.md.
"""

from typing import Annotated

import msgspec
from litestar import delete, get, patch, post
from litestar.params import Parameter

from majung.auth.model import Principal
from majung.services import Services
from majung.webhooks.events import TYPES
from majung.webhooks.model import (
    Attempt,
    AuditEntry,
    Delivery,
    NewWebhook,
    Replay,
    Status,
    Webhook,
    WebhookChange,
    WebhookSecret,
)
from majung.webhooks.service import MAX_SHOWN

_TAGS = ["webhooks"]
Id = Annotated[str, Parameter(min_length=1, max_length=128)]
Before = Annotated[int | None, Parameter(ge=0, le=2**63 - 1)]
Limit = Annotated[int, Parameter(ge=1, le=MAX_SHOWN)]
Standing = Annotated[Status | None, Parameter(description="Only those; of waiting, done, dead.")]


class WebhookList(msgspec.Struct, frozen=True):
    """Endpoints, oldest first, and every type of event that there is."""

    webhooks: list[Webhook]
    types: list[str]


class DeliveryPage(msgspec.Struct, frozen=True):
    """Deliveries, newest first; `next_before` goes on where this page ends."""

    deliveries: list[Delivery]
    next_before: int | None


class Replayed(msgspec.Struct, frozen=True):
    """How many are sent again."""

    replayed: int


class WebhookTrail(msgspec.Struct, frozen=True):
    """Who did what to an endpoint, newest first."""

    entries: list[AuditEntry]


@get("/v1/webhooks", summary="List webhooks", tags=_TAGS)
async def list_webhooks(services: Services, principal: Principal) -> WebhookList:
    """With how each does. An administrator sees those of stores as well."""
    return WebhookList(await services.webhooks.all(principal), list(TYPES))


@post("/v1/webhooks", summary="Register a webhook", tags=_TAGS)
async def create_webhook(data: NewWebhook, services: Services, principal: Principal) -> WebhookSecret:
    """The answer has the secret that calls are signed with, this once. What happens from now on is told."""
    return await services.webhooks.create(principal, data)


@get("/v1/webhooks/{webhook_id:str}", summary="Read a webhook", tags=_TAGS)
async def get_webhook(webhook_id: Id, services: Services, principal: Principal) -> Webhook:
    """One of those that the caller may see."""
    return await services.webhooks.get(principal, webhook_id)


@patch("/v1/webhooks/{webhook_id:str}", summary="Change, pause or wake a webhook", tags=_TAGS)
async def change_webhook(
    webhook_id: Id, data: WebhookChange, services: Services, principal: Principal
) -> Webhook:
    """What is not given stays. What happens while it is paused waits for it, within bounds."""
    return await services.webhooks.change(principal, webhook_id, data)


@delete("/v1/webhooks/{webhook_id:str}", summary="Delete a webhook", tags=_TAGS)
async def delete_webhook(webhook_id: Id, services: Services, principal: Principal) -> None:
    """And everything that waits for it."""
    await services.webhooks.delete(principal, webhook_id)


@post("/v1/webhooks/{webhook_id:str}/secret", status_code=200, summary="Replace the secret", tags=_TAGS)
async def rotate_webhook_secret(webhook_id: Id, services: Services, principal: Principal) -> WebhookSecret:
    """Shown this once. For `webhooks.old_secret_for` calls carry the old one's signature as well."""
    return await services.webhooks.rotate(principal, webhook_id)


@post("/v1/webhooks/{webhook_id:str}/ping", status_code=200, summary="Send a test event", tags=_TAGS)
async def ping_webhook(webhook_id: Id, services: Services, principal: Principal) -> Attempt:
    """One `majung.ping.v1`, now; the answer says what the endpoint answered."""
    return await services.webhooks.ping(principal, webhook_id)


@get("/v1/webhooks/{webhook_id:str}/deliveries", summary="What was sent to a webhook", tags=_TAGS)
async def list_webhook_deliveries(
    webhook_id: Id,
    services: Services,
    principal: Principal,
    status: Standing = None,
    before: Before = None,
    limit: Limit = 50,
) -> DeliveryPage:
    """Newest first, with what was sent and the beginning of what came back."""
    found = await services.webhooks.deliveries(principal, webhook_id, status, before, limit)
    return DeliveryPage(found, found[-1].number if len(found) == limit else None)


@post("/v1/webhooks/{webhook_id:str}/replay", status_code=200, summary="Send again", tags=_TAGS)
async def replay_webhook(webhook_id: Id, data: Replay, services: Services, principal: Principal) -> Replayed:
    """What was delivered or is dead, by number, status or time, oldest first, as far as there is room.

    Each keeps its `webhook-id`: a receiver that has it already drops it.
    """
    return Replayed(await services.webhooks.replay(principal, webhook_id, data))


@get("/v1/webhooks/{webhook_id:str}/audit", summary="Who changed a webhook", tags=_TAGS)
async def webhook_audit(webhook_id: Id, services: Services, principal: Principal) -> WebhookTrail:
    """Made, changed, disabled and why, newest first."""
    return WebhookTrail(await services.webhooks.trail(principal, webhook_id))


HANDLERS = [
    list_webhooks,
    create_webhook,
    get_webhook,
    change_webhook,
    delete_webhook,
    rotate_webhook_secret,
    ping_webhook,
    list_webhook_deliveries,
    replay_webhook,
    webhook_audit,
]
