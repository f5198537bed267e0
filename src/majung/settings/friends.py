"""Friends: who is near, and what may be seen of whom."""

from datetime import timedelta
from pathlib import Path

from pydantic import Field

from majung.settings.base import Duration, Section


class FriendsSettings(Section):
    """Friends near by."""

    radius_m: float = Field(
        8_046.72, gt=0, le=500_000, description="Friends within this are near (5 miles); each may change it."
    )
    hysteresis: float = Field(
        0.02, ge=0, le=1, description="A friend has left when further than the radius by this part of it."
    )
    gone_after: Duration = Field(
        timedelta(minutes=10), description="A friend who is silent for this long is gone."
    )
    blur_every: Duration = Field(
        timedelta(minutes=5),
        description="A blurred place is looked at this often, at the same moments for all.",
    )
    max_friends: int = Field(1_000, ge=1, le=10_000, description="Friends of one person.")
    max_groups: int = Field(50, ge=0, le=1_000, description="Groups of one person.")
    max_invitations: int = Field(100, ge=1, description="Open invitations and requests of one person.")
    invitation_for: Duration = Field(timedelta(days=7), description="How long an invitation link lasts.")


class MqttSettings(Section):
    """OwnTracks over an MQTT broker (majung[mqtt])."""

    url: str = Field(
        "",
        pattern=r"^(mqtts?://[!-~]{1,500})?$",
        description="mqtt://USER:PASSWORD@HOST:PORT or mqtts://…; empty: no broker.",
    )
    public_url: str = Field(
        "",
        pattern=r"^(mqtts?://[A-Za-z0-9._:\[\]-]{1,300})?$",
        description="mqtts://HOST:PORT of the broker as phones reach it, for the configurations that are handed out.",
    )
    password_file: Path | None = Field(
        None, description="A file with Majung's password at the broker, so that it stands in no setting."
    )
    ca: Path | None = Field(
        None,
        description="PEM file of the authority that signed the broker's certificate, when it is your own.",
    )
    topic: str = Field(
        "owntracks", pattern=r"^[^+#/$][^+#]{0,100}$", description="Phones publish to TOPIC/USER/DEVICE."
    )
    friends_topic: str = Field(
        "friends",
        pattern=r"^[^+#/$][^+#]{0,100}$",
        description="Friends are published to FRIENDS_TOPIC/USER/FRIEND, for USER alone to read.",
    )
    client_id: str = Field("majung", min_length=1, max_length=64, description="The session at the broker.")
    session_for: Duration = Field(
        timedelta(days=7),
        description="How long the broker keeps what phones send while this server is away.",
    )
    show_for: Duration = Field(
        timedelta(hours=1),
        description="Friends are published for whoever reported by MQTT within this time.",
    )
