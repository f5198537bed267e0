"""Every setting, in one documented list.

Where a value comes from, the first that has it wins: a flag (`--set positions.max_age=30d`), the
environment (`MAJUNG_POSITIONS__MAX_AGE=30d`), the file `majung.toml` in the data folder (or the one
named by `--config`), the default below. Durations are written `250ms`, `10s`, `5m`, `24h`, `7d`, `20y`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from majung.settings.base import Duration, parse_duration
from majung.settings.core import (
    AuthSettings,
    BackendSettings,
    CellSettings,
    HistorySettings,
    LiveSettings,
    LogSettings,
    MapSettings,
    PositionSettings,
    ServerSettings,
    TriggerSettings,
)
from majung.settings.delivery import (
    AddressSettings,
    DeliverySettings,
    DispatchSettings,
    EtaSettings,
    NotifySettings,
    OutwardSettings,
    RoutingSettings,
    ShareSettings,
    WebhookSettings,
)
from majung.settings.friends import FriendsSettings, MqttSettings

__all__ = [
    "AddressSettings",
    "AuthSettings",
    "BackendSettings",
    "CellSettings",
    "DeliverySettings",
    "DispatchSettings",
    "Duration",
    "EtaSettings",
    "FriendsSettings",
    "HistorySettings",
    "LiveSettings",
    "LogSettings",
    "MapSettings",
    "MqttSettings",
    "NotifySettings",
    "OutwardSettings",
    "PositionSettings",
    "RoutingSettings",
    "ServerSettings",
    "Settings",
    "ShareSettings",
    "TriggerSettings",
    "WebhookSettings",
    "load",
    "parse_duration",
]


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
    friends: FriendsSettings = FriendsSettings()
    mqtt: MqttSettings = MqttSettings()

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
