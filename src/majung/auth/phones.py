"""How to type a device's credential into the phone apps that exist: what each calls its fields.

`docs/phones.md` says the same at length.
"""

from majung.auth.model import NewDevice
from majung.settings import ServerSettings


def address_of(settings: ServerSettings) -> str:
    """The address of HTTP as a phone reaches it: `server.public_url`, or what the server listens on."""
    scheme = "https" if settings.tls_cert else "http"
    return settings.public_url.rstrip("/") or f"{scheme}://{settings.http}"


def app_settings(device: NewDevice, address: str) -> dict[str, dict[str, str]]:
    """For each app its settings by the names that the app shows, with the credential in them."""
    return {
        "owntracks": {
            "Mode": "HTTP",
            "URL": f"{address}/owntracks",
            "Username": device.rider_id,
            "Password": device.token,
        },
        "osmand": {
            "Server URL": f"{address}/osmand",
            "Device identifier": device.token,
        },
        "overland": {
            "Receiver Endpoint URL": f"{address}/overland",
            "Access Token": device.token,
            "Device ID": device.rider_id,
        },
    }
