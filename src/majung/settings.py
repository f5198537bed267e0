"""Every setting, in one documented list.

Where a value comes from, the first that has it wins: a flag (`--set positions.max_age=30d`), the
environment (`MAJUNG_POSITIONS__MAX_AGE=30d`), the file `majung.toml` in the data folder (or the one
named by `--config`), the default below. Durations are written `250ms`, `10s`, `5m`, `24h`, `7d`, `20y`.
"""

import ipaddress
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

_UNITS_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31557600}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w|y)\s*$")


def parse_duration(text: object) -> object:
    """`"24h"` → timedelta(hours=24). Numbers are seconds; anything else goes to pydantic as it is."""
    if isinstance(text, str) and (found := _DURATION.match(text)):
        return timedelta(seconds=float(found[1]) * _UNITS_S[found[2]])
    return text


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerSettings(_Section):
    """The doors."""

    http: str = Field("127.0.0.1:8080", description="HOST:PORT of HTTP, WebSocket and SSE.")
    grpc: str = Field("127.0.0.1:50051", description="HOST:PORT of gRPC.")
    tls_cert: Path | None = Field(
        None, description="PEM certificate chain; with tls_key, every door speaks TLS."
    )
    tls_key: Path | None = Field(None, description="PEM private key of tls_cert.")
    public_url: str = Field(
        "", description="How the outside reaches HTTP, for links; default: the address itself."
    )
    max_body_bytes: int = Field(4_194_304, ge=1024, description="Largest HTTP request body.")
    max_streams: int = Field(20_000, ge=1, description="Open gRPC streams; more are told RESOURCE_EXHAUSTED.")
    header_timeout: Duration = Field(
        timedelta(seconds=10),
        description="A client must finish a handshake or headers within this, a body within six times this, and "
        "take what is sent to it within three times this.",
    )
    drain_for: Duration = Field(
        timedelta(seconds=10), description="How long a shutdown waits for open requests."
    )
    rate_per_s: float = Field(
        50.0, gt=0, description="Requests (or positions on a stream) a second for each device credential."
    )
    rate_burst: int = Field(
        2_000, ge=1, description="Burst of each device credential: an offline backlog fits into it."
    )


class BackendSettings(_Section):
    """Which implementation stands behind each port, by URL."""

    log: str = Field("sqlite:", description="sqlite: (in the data folder).")
    live: str = Field("memory:", description="memory: (checkpointed into the data folder).")
    fanout: str = Field("memory:", description="memory: (within this process).")
    database: str = Field("sqlite:", description="sqlite: (in the data folder).")
    history: str = Field("sqlite:", description="sqlite: (in the data folder).")


class LogSettings(_Section):
    """The log: what was acknowledged and not yet everywhere."""

    partitions: int = Field(4, ge=1, le=256, description="Partitions of a new topic.")
    keep_for: Duration = Field(
        timedelta(hours=24), description="Records are dropped after this, once read by every group."
    )
    segment_bytes: int = Field(268_435_456, ge=65_536, description="A segment file is closed at this size.")
    max_pending_bytes: int = Field(
        67_108_864, ge=65_536, description="Unwritten bytes, past which doors wait."
    )
    commit_every: Duration = Field(
        timedelta(milliseconds=10), description="How long a commit waits for company."
    )


class PositionSettings(_Section):
    """Checking and processing of positions."""

    max_age: Duration = Field(timedelta(days=7), description="Older fixes are quarantined (too_old).")
    max_ahead: Duration = Field(
        timedelta(seconds=60), description="Fixes further in the future are quarantined (clock_ahead)."
    )
    max_accuracy_m: float = Field(
        200.0, gt=0, description="Worse fixes are kept in history, marked, and not shown live."
    )
    max_speed_mps: float = Field(
        90.0, gt=0, description="A faster jump is kept in history, marked, and not shown live."
    )
    batch_max: int = Field(
        1000, ge=1, le=10_000, description="Positions a consumer takes at once (200–1000 is good)."
    )
    batch_linger: Duration = Field(
        timedelta(milliseconds=40), description="How long a consumer waits to fill a batch."
    )
    offline_after: Duration = Field(
        timedelta(minutes=10), description="A rider silent for this long leaves the map."
    )
    checkpoint_every: Duration = Field(
        timedelta(seconds=2), description="How often the processing state is saved."
    )
    max_sessions: int = Field(8, ge=1, description="Sessions remembered for each rider.")
    quarantine_keep_for: Duration = Field(
        timedelta(days=7), description="How long quarantined fixes can be read."
    )
    quarantine_max: int = Field(
        1_000_000, ge=100, description="How many quarantined fixes can be read; the oldest go first."
    )


class CellSettings(_Section):
    """The cell index: geohash squares that split when hot and merge when quiet."""

    split_members: int = Field(50_000, ge=2, description="A cell of 7 with more members is split to 8.")
    split_reads_per_s: float = Field(
        2_000.0, gt=0, description="A cell of 7 with more reads a second is split to 8."
    )
    merge_ratio: float = Field(
        0.5, gt=0, lt=1, description="Split cells merge when below this part of the split bounds."
    )
    coarse_members: int = Field(
        64, ge=0, description="A square of 6 with no more members than this is kept as one cell."
    )
    hold_for: Duration = Field(
        timedelta(seconds=30), description="No cell changes twice within this (hysteresis)."
    )


class TriggerSettings(_Section):
    """Events: fences, nearness, silence."""

    silent_after: Duration = Field(
        timedelta(seconds=60), description="A rider not heard for this long is silent; 0s: never."
    )
    confirm_fixes: int = Field(
        2, ge=1, le=100, description="Fixes that must agree before a rider has entered or left."
    )
    confirm_for: Duration = Field(
        timedelta(seconds=10), description="How long they must agree, in device time (hysteresis)."
    )
    near_fixes: int = Field(2, ge=1, le=100, description="The same for near points.")
    near_for: Duration = Field(timedelta(seconds=3), description="The same for near points.")
    max_fences: int = Field(10_000, ge=1, description="How many fences there may be.")
    keep_events_for: Duration = Field(timedelta(days=30), description="How long events can be read.")
    max_events: int = Field(
        1_000_000, ge=100, description="How many events can be read; the oldest go first."
    )


class HistorySettings(_Section):
    """How long positions are kept."""

    detail_for: Duration = Field(timedelta(hours=24), description="Every position is kept for this long.")
    minutes_for: Duration = Field(
        timedelta(days=7), description="One position a minute is kept for this long."
    )


class LiveSettings(_Section):
    """Viewers."""

    max_viewers: int = Field(50_000, ge=1, description="Open viewer streams; more get 503.")
    viewer_buffer_bytes: int = Field(
        262_144, ge=4096, description="Bytes waiting for one viewer; positions past it: newest wins."
    )
    flush_every: Duration = Field(
        timedelta(milliseconds=100), description="Changes are sent to a viewer at most this often."
    )
    resume_for: Duration = Field(
        timedelta(seconds=60), description="A viewer may reconnect within this and miss nothing."
    )
    resume_bytes: int = Field(33_554_432, ge=4096, description="Memory for that; past it: resync.")


class AuthSettings(_Section):
    """Sign-in and tokens."""

    token_for: Duration = Field(timedelta(hours=1), description="Lifetime of an access token.")
    refresh_for: Duration = Field(timedelta(days=30), description="Lifetime of a refresh token.")
    rotate_keys_every: Duration = Field(
        timedelta(days=30), description="A new signing key after this; the old one still verifies."
    )
    issuer: str = Field("majung", description="`iss` of the tokens.")


def _joined(given: object) -> object:
    return ",".join(str(part) for part in given) if isinstance(given, (list, tuple)) else given


class DeliverySettings(_Section):
    """Customers, stores and riders."""

    open_sign_up: Annotated[str, BeforeValidator(_joined)] = Field(
        "customer",
        pattern=r"^\s*((customer|rider|store)\s*(,\s*(customer|rider|store)\s*)*)?$",
        description="Roles that anybody may sign up for, of customer, rider and store; with commas.",
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


class DispatchSettings(_Section):
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
    text = str(_joined(given))
    for part in text.split(","):
        if part.strip():
            ipaddress.ip_network(part.strip())
    return text


class OutwardSettings(_Section):
    """Calls to addresses that others chose: push services, webhooks."""

    allow_networks: Annotated[str, BeforeValidator(_networks)] = Field(
        "",
        description="Networks that are not public and may be called all the same, as 10.0.0.0/8; with commas.",
    )
    timeout: Duration = Field(timedelta(seconds=10), description="A call must be answered within this.")


class WebhookSettings(_Section):
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


class AddressSettings(_Section):
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


class ShareSettings(_Section):
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


class RoutingSettings(_Section):
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


class EtaSettings(_Section):
    """Expected times of arrival."""

    every: Duration = Field(
        timedelta(seconds=5), description="A rider that moves changes the arrival at most this often."
    )
    keep_for: Duration = Field(
        timedelta(days=90), description="What was predicted against what happened is kept for this long."
    )


class NotifySettings(_Section):
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


class MapSettings(_Section):
    """The map page."""

    tile_url: str = Field(
        "",
        description="Vector style URL or raster template https://…/{z}/{x}/{y}.png; empty: built-in outlines.",
    )
    tile_attribution: str = Field("", description="Attribution of the tile source.")
    latitude: float = Field(37.4979, ge=-90, le=90, description="Where the map opens.")
    longitude: float = Field(127.0276, ge=-180, le=180, description="Where the map opens.")
    zoom: float = Field(13.0, ge=0, le=22, description="How near the map opens.")


class Settings(BaseSettings):
    """All settings; see the module's docstring for where they come from."""

    model_config = SettingsConfigDict(
        env_prefix="MAJUNG_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    data: Path = Field(Path("majung-data"), description="The data folder.")
    log_level: str = Field("info", description="debug, info, warning or error.")
    log_format: str = Field("auto", description="json, console, or auto (console on a terminal).")
    server: ServerSettings = ServerSettings()
    backends: BackendSettings = BackendSettings()
    log: LogSettings = LogSettings()
    positions: PositionSettings = PositionSettings()
    cells: CellSettings = CellSettings()
    triggers: TriggerSettings = TriggerSettings()
    history: HistorySettings = HistorySettings()
    live: LiveSettings = LiveSettings()
    auth: AuthSettings = AuthSettings()
    map: MapSettings = MapSettings()
    delivery: DeliverySettings = DeliverySettings()
    dispatch: DispatchSettings = DispatchSettings()
    routing: RoutingSettings = RoutingSettings()
    eta: EtaSettings = EtaSettings()
    share: ShareSettings = ShareSettings()
    addresses: AddressSettings = AddressSettings()
    outward: OutwardSettings = OutwardSettings()
    webhooks: WebhookSettings = WebhookSettings()
    notify: NotifySettings = NotifySettings()

    @property
    def tiles_path(self) -> Path:
        """Where the tiles of streets are, or would be."""
        return self.routing.tiles or self.data / "routing" / "tiles.tar"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, then the environment, then the file (its path is handed over by `load`)."""
        toml = cls.model_config.get("toml_file")
        file = TomlConfigSettingsSource(settings_cls, toml) if toml else None
        return (init_settings, env_settings, *([file] if file else []))


def load(
    data: Path | None = None, config: Path | None = None, flags: Mapping[str, str] | None = None
) -> Settings:
    """Read the settings. `flags` maps dotted names to text. Raises ValueError saying what is wrong."""
    values: dict[str, Any] = {}
    for name, text in (flags or {}).items():
        node = values
        *sections, leaf = name.split(".")
        for section in sections:
            node = node.setdefault(section, {})
        node[leaf] = text
    if data is not None:
        values["data"] = data
    if config is not None and not config.is_file():
        raise ValueError(f"there is no settings file {config}")
    folder = data or Path(str(values.get("data", Settings.model_fields["data"].default)))
    file = config or folder / "majung.toml"

    class _Located(Settings):
        model_config = SettingsConfigDict(toml_file=file if file.is_file() else None)

    _Located.__name__ = "Settings"
    return _Located(**values)
