"""The caller's own phones and data: credentials that report for it, everything about it, and its end."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, delete, get, post
from litestar.params import Parameter
from litestar.response import Stream

from majung.auth.model import Device, Principal
from majung.auth.phones import address_of, app_settings
from majung.serve.http.auth import remote_of
from majung.serve.http.friends import TAGS
from majung.serve.mqtt.phones import configuration
from majung.services import Services
from majung.wire.owntracks_config import config_link, http_config

_NO_STORE = {"Cache-Control": "no-store"}
DeviceId = Annotated[str, Parameter(min_length=1, max_length=64, description="The id of the device.")]


class NewPhone(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A phone by the name that its owner gives it."""

    name: Annotated[str, msgspec.Meta(max_length=128)] = ""


class AddedPhone(msgspec.Struct, frozen=True, omit_defaults=True):
    """A credential, this once, and how to type it into each app.

    `otrc` is the configuration of OwnTracks, to be saved as a file `….otrc`; `link` hands it to the app on the
    phone where it is opened. `mqtt_otrc` and `mqtt_link` are the same over MQTT, where there is a broker; it
    asks for the password that its user has there.
    """

    device_id: str
    name: str
    token: str
    apps: dict[str, dict[str, str]]
    otrc: dict[str, Any]
    link: str
    mqtt_otrc: dict[str, Any] | None = None
    mqtt_link: str = ""


class PhoneList(msgspec.Struct, frozen=True):
    """Oldest first."""

    devices: list[Device]


@get("/v1/friends/devices", summary="List one's phones", tags=TAGS)
async def list_phones(services: Services, principal: Principal) -> PhoneList:
    """Those that may report for the caller."""
    caller = await services.friends.me.caller(principal)
    return PhoneList(await services.friends.devices.all(caller))


@post("/v1/friends/devices", summary="Add a phone", tags=TAGS)
async def add_phone(data: NewPhone, services: Services, principal: Principal) -> Response[AddedPhone]:
    """A token for an app that reports for the caller and may do nothing else. Told this once."""
    caller = await services.friends.me.caller(principal)
    device = await services.friends.devices.add(caller, data.name)
    address = address_of(services.settings.server)
    config = http_config(f"{address}/owntracks", caller.person_id, device.token, data.name or "phone")
    over_mqtt = configuration(services.settings.mqtt, caller.name, data.name or "phone")
    added = AddedPhone(
        device.device_id,
        data.name,
        device.token,
        app_settings(device, address),
        msgspec.json.decode(config),
        config_link(config),
        msgspec.json.decode(over_mqtt) if over_mqtt else None,
        config_link(over_mqtt) if over_mqtt else "",
    )
    return Response(added, headers=_NO_STORE)


@delete("/v1/friends/devices/{device_id:str}", summary="Remove a phone", tags=TAGS)
async def remove_phone(device_id: DeviceId, services: Services, principal: Principal) -> None:
    """What it sends is refused within a second."""
    caller = await services.friends.me.caller(principal)
    await services.friends.devices.remove(caller, device_id)


class EraseMe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The caller's password; an account without one gives its API token."""

    password: Annotated[str, msgspec.Meta(max_length=1024)]


@get(
    "/v1/friends/me/export",
    summary="Everything about oneself",
    tags=TAGS,
    media_type="application/zip",
)
async def export_me(services: Services, principal: Principal) -> Stream:
    """A zip, written while it is sent: who one is, friends and decisions, groups, phones, and every position.

    Where friends were is theirs, and not in it. 429 after several in a row.
    """
    caller = await services.friends.me.caller(principal)
    body = services.friends.exporting.zip_of(caller)
    headers = {**_NO_STORE, "Content-Disposition": 'attachment; filename="majung.zip"'}
    return Stream(body, media_type="application/zip", headers=headers)


@delete("/v1/friends/me/history", summary="Erase where one was", tags=TAGS)
async def erase_my_history(services: Services, principal: Principal) -> None:
    """Every position until now, for good. Where one is now stays live until the next position."""
    caller = await services.friends.me.caller(principal)
    await services.friends.erasing.history(caller)


@delete("/v1/friends/me", summary="Erase oneself", tags=TAGS)
async def erase_me(
    data: EraseMe, request: Request[Any, Any, Any], services: Services, principal: Principal
) -> None:
    """Positions, friendships, decisions, groups, phones and the account, for good; the name is not given again.

    403 when the password is wrong. Open streams end within a second, and friends' lists change at once.
    """
    caller = await services.friends.me.caller(principal)
    await services.friends.erasing.everything(caller, data.password, remote_of(request))


HANDLERS = [
    list_phones,
    add_phone,
    remove_phone,
    export_me,
    erase_my_history,
    erase_me,
]
