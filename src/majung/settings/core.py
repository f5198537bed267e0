"""The spine: doors, backends, positions, viewers, sign-in, the map."""

from datetime import timedelta
from pathlib import Path

from pydantic import Field

from majung.settings.base import Duration, Section


class ServerSettings(Section):
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


class BackendSettings(Section):
    """Which implementation stands behind each port, by URL."""

    log: str = Field("sqlite:", description="sqlite: (in the data folder).")
    live: str = Field("memory:", description="memory: (checkpointed into the data folder).")
    fanout: str = Field("memory:", description="memory: (within this process).")
    database: str = Field("sqlite:", description="sqlite: (in the data folder).")
    history: str = Field("sqlite:", description="sqlite: (in the data folder).")


class LogSettings(Section):
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


class PositionSettings(Section):
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


class CellSettings(Section):
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


class TriggerSettings(Section):
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


class HistorySettings(Section):
    """How long positions are kept."""

    detail_for: Duration = Field(timedelta(hours=24), description="Every position is kept for this long.")
    minutes_for: Duration = Field(
        timedelta(days=7), description="One position a minute is kept for this long."
    )


class LiveSettings(Section):
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


class AuthSettings(Section):
    """Sign-in and tokens."""

    token_for: Duration = Field(timedelta(hours=1), description="Lifetime of an access token.")
    refresh_for: Duration = Field(timedelta(days=30), description="Lifetime of a refresh token.")
    rotate_keys_every: Duration = Field(
        timedelta(days=30), description="A new signing key after this; the old one still verifies."
    )
    issuer: str = Field("majung", description="`iss` of the tokens.")


class MapSettings(Section):
    """The map page."""

    tile_url: str = Field(
        "",
        description="Vector style URL or raster template https://…/{z}/{x}/{y}.png; empty: built-in outlines.",
    )
    tile_attribution: str = Field("", description="Attribution of the tile source.")
    latitude: float = Field(37.4979, ge=-90, le=90, description="Where the map opens.")
    longitude: float = Field(127.0276, ge=-180, le=180, description="Where the map opens.")
    zoom: float = Field(13.0, ge=0, le=22, description="How near the map opens.")
