"""Delivery: orders, dispatch, ways, arrivals, notices, and calls to the outside."""

import ipaddress
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from majung.settings.base import Duration, Section, joined, parse_duration


class DeliverySettings(Section):
    """Customers, stores and riders; and who may sign up, people with friends included."""

    open_sign_up: Annotated[str, BeforeValidator(joined)] = Field(
        "customer,person",
        pattern=r"^\s*((customer|rider|store|person)\s*(,\s*(customer|rider|store|person)\s*)*)?$",
        description="Roles that anybody may sign up for, of customer, rider, store and person; with commas.",
    )
    sign_up_per_minute: float = Field(
        20.0, gt=0, description="New accounts a minute from one address; as many at once."
    )
    demo_place: str = Field(
        "",
        pattern=r"^(-?\d{1,2}(\.\d+)?,-?\d{1,3}(\.\d+)?)?$",
        description="LAT,LON: the rider's page offers to ride a simulated position that begins here.",
    )
    keep_proofs_for: Duration | None = Field(
        None, description="Photos and signatures go so long after the end of their order; unset: never."
    )

    @property
    def sign_up_roles(self) -> frozenset[str]:
        """The roles of `open_sign_up`."""
        return frozenset(role.strip() for role in self.open_sign_up.split(",") if role.strip())


class DispatchSettings(Section):
    """Which rider is asked to carry which order."""

    offer_for: Duration = Field(
        timedelta(seconds=15), description="How long a rider has to accept an offer; then the next is asked."
    )
    offer_ahead: Duration | None = Field(
        None, description="Offer an order so long before it is cooked; unset: at once when accepted."
    )
    radius_m: float = Field(1_500.0, gt=0, description="Riders are looked for so far round the store first.")
    max_radius_m: float = Field(6_000.0, gt=0, description="It doubles with each try, up to this.")
    retry_at_most: Duration = Field(
        timedelta(seconds=2), description="The pause between tries for an order grows up to this."
    )
    ask_again_after: Duration = Field(
        timedelta(seconds=60), description="A rider who did not answer is asked again for it after this."
    )
    heard_within: Duration = Field(
        timedelta(minutes=2),
        description="A rider whose position is older is not asked: the phone is off or without network.",
    )
    off_duty_after_missed: int = Field(
        3,
        ge=0,
        description="A rider who lets so many offers in a row run out is taken off duty; 0: never.",
    )
    base_fee_krw: int = Field(3_000, ge=0, description="What a rider earns with an order, at least.")
    per_km_krw: int = Field(800, ge=0, description="And for each km from the store to the customer.")
    way_factor: float | None = Field(
        None,
        ge=1,
        description="The way that pays is the straight line times this; unset: times what was learned of ways.",
    )
    batch: bool = Field(
        False, description="Assign all orders that wait at once, shortest ways in total; needs scipy."
    )
    keep_for: Duration = Field(
        timedelta(hours=24), description="How long answered offers and ended orders are kept by dispatch."
    )


def _networks(given: object) -> object:
    text = str(joined(given))
    for part in text.split(","):
        if part.strip():
            ipaddress.ip_network(part.strip())
    return text


class OutwardSettings(Section):
    """Calls to addresses that others chose: push services, webhooks."""

    allow_networks: Annotated[str, BeforeValidator(_networks)] = Field(
        "",
        description="Networks that are not public and may be called all the same, as 10.0.0.0/8; with commas.",
    )
    timeout: Duration = Field(timedelta(seconds=10), description="A call must be answered within this.")


class WebhookSettings(Section):
    """Webhooks: events told to servers of others."""

    max_endpoints: int = Field(20, ge=1, description="Webhooks of one store, and of all administrators.")
    at_once: int = Field(4, ge=1, le=64, description="Calls to one endpoint at the same time.")
    max_waiting: int = Field(
        10_000, ge=10, description="Deliveries that wait for one endpoint; the rest waits in the log."
    )
    retries: str = Field(
        "5s,5m,30m,2h,5h,10h",
        pattern=r"^\s*\d+(\.\d+)?\s*(ms|s|m|h|d)\s*(,\s*\d+(\.\d+)?\s*(ms|s|m|h|d)\s*)*$",
        description="Pauses between tries; the last one again and again.",
    )
    give_up_after: Duration = Field(
        timedelta(days=3), description="A delivery is dead when it has not succeeded within this."
    )
    disable_after: Duration = Field(
        timedelta(days=5), description="Nothing but failures for so long, and the endpoint is disabled."
    )
    keep_for: Duration = Field(timedelta(days=7), description="How long what was delivered can be read.")
    keep_dead_for: Duration = Field(timedelta(days=30), description="How long dead deliveries are kept.")
    old_secret_for: Duration = Field(
        timedelta(hours=24), description="A secret that was replaced signs as well for so long."
    )

    @property
    def retry_delays_s(self) -> tuple[float, ...]:
        """`retries` in seconds."""
        spans = [parse_duration(part) for part in self.retries.split(",")]
        return tuple(span.total_seconds() for span in spans if isinstance(span, timedelta))


class AddressSettings(Section):
    """Looking up addresses."""

    extra: bool = Field(
        True, description="Use majung[kr] where it is installed: streets, and boundaries of neighbourhoods."
    )
    index: Path | None = Field(
        None, description="The index of streets, made at first use (50 MB); default: in the data folder."
    )
    per_s: float = Field(
        10.0, gt=0, description="Look-ups a second by one account (typing asks at each letter)."
    )


class ShareSettings(Section):
    """Share links: following one order without an account."""

    lasts: Duration = Field(timedelta(hours=2), description="How long a link lasts when nobody says.")
    lasts_at_most: Duration = Field(timedelta(hours=24), description="The longest that may be asked for.")
    after_end: Duration = Field(
        timedelta(minutes=10), description="A link ends so long after its order ended, at the latest."
    )
    per_order: int = Field(10, ge=1, le=100, description="Links that an order may have at once.")
    per_minute: float = Field(20.0, gt=0, description="New links a minute by one account; as many at once.")
    reads_per_s: float = Field(10.0, gt=0, description="Looks through links a second from one address.")
    streams_per_link: int = Field(20, ge=1, description="How many may follow one link at once; more get 503.")


class RoutingSettings(Section):
    """Ways and how long they take."""

    engine: str = Field(
        "auto",
        pattern="^(auto|straight|valhalla)$",
        description="valhalla: along streets; straight: straight lines; auto: streets when there are tiles.",
    )
    tiles: Path | None = Field(
        None, description="What majung routing build made; unset: routing/tiles.tar in the data folder."
    )
    profile: str = Field(
        "motor_scooter",
        pattern="^(motor_scooter|motorcycle|auto|bicycle|pedestrian)$",
        description="What riders ride, as Valhalla names it.",
    )


class EtaSettings(Section):
    """Expected times of arrival."""

    every: Duration = Field(
        timedelta(seconds=5), description="A rider that moves changes the arrival at most this often."
    )
    keep_for: Duration = Field(
        timedelta(days=90), description="What was predicted against what happened is kept for this long."
    )


class NotifySettings(Section):
    """Who is told what happens to an order: in the page, and by Web Push."""

    keep_for: Duration = Field(timedelta(days=30), description="How long notices can be read.")
    max_notices: int = Field(
        1_000_000, ge=100, description="How many notices can be read; the oldest go first."
    )
    near_m: float = Field(
        100.0, ge=1, le=5_000, description="A rider within this of the door is told to the customer, once."
    )
    near_fresh: Duration = Field(
        timedelta(seconds=60), description="An older position does not say that the rider is near."
    )
    language: str = Field(
        "ko", pattern="^(ko|en)$", description="Of notices whose reader has not said one: ko or en."
    )
    push: bool = Field(True, description="Web Push to browsers that subscribed.")
    push_contact: str = Field(
        "",
        pattern=r"^((mailto:|https://)[!-~]{3,200})?$",
        description="mailto: or https: for push services to turn to (Apple requires one); default: server.public_url.",
    )
    push_per_account: int = Field(
        10, ge=1, le=1_000, description="Subscriptions of one account; the longest unseen goes first."
    )
    push_at_once: int = Field(
        64, ge=1, le=256, description="Messages on their way to one push service at a time."
    )
