"""What the description of the API says of friends that no handler says; `openapi_words.py` takes it in."""

from typing import Any

import msgspec

from majung.auth.model import Device
from majung.friends.consent import Mode, Sharing
from majung.friends.groups import GroupChange, NewGroup
from majung.friends.me import ProfileChange
from majung.friends.model import (
    Asked,
    Bounds,
    Friend,
    Group,
    Invitation,
    Near,
    NewInvitation,
    Place,
    Profile,
    Requests,
    Shown,
    Stranger,
)
from majung.friends.reads import Here, NearNow
from majung.friends.sharing import SharingWish
from majung.serve.http.friends import BlockedList, FriendList
from majung.serve.http.friends_asking import AcceptInvitation, AskByName, BecameFriends, InvitationList
from majung.serve.http.friends_groups import GroupList
from majung.serve.http.friends_me import AddedPhone, EraseMe, NewPhone, PhoneList

_AT_MS = 1_780_000_000_000  # 2026-05-28T20:26:40Z
_HOUR_MS = 3_600_000
_JOON, _MINA = "person-k7m2p9xw4dhq", "person-3jcqa8bwhdyc"
_TOKEN = "yyRYvWrXQM7TIFRRDPMizLpcAoM5N-tUfC7gNoKbccE"  # noqa: S105 -- of nobody
_BLURRED = Sharing(Mode.BLURRED, 5, since_ms=_AT_MS)
_EXACT = Sharing(Mode.EXACT, until_ms=_AT_MS + _HOUR_MS, history=True, since_ms=_AT_MS)
_SHOWN = Shown(Mode.EXACT, history_from_ms=_AT_MS, until_ms=_AT_MS + _HOUR_MS)
_FRIEND = Friend(_JOON, "joon", "준", _AT_MS, _SHOWN, Shown(Mode.BLURRED, 5), _EXACT, ["d4ygnzerakpm"])
_GROUP = Group("d4ygnzerakpm", "가족", [_JOON], _BLURRED)
_INVITATION = Invitation("hq3fvt6n8ck7", _AT_MS, _AT_MS + 168 * _HOUR_MS)
_STRANGER = Stranger(_MINA, "mina", "미나", _AT_MS)
_PHONE = Device("9f3bk7m2p9xw", _MINA, _AT_MS, "pixel")
_PLACE = Place(_JOON, 37.4979, 127.0276, _AT_MS, 5.0, 1.4, 92.0)
_NEAR = Near("준", 1204.318, _PLACE)
_NEW_INVITATION = NewInvitation(
    _INVITATION.invitation_id,
    _TOKEN,
    f"/friends#/invite/{_TOKEN}",
    f"https://ex.am/friends#/invite/{_TOKEN}",
    _INVITATION.expires_ms,
)

EXAMPLES: dict[str, msgspec.Struct] = {
    type(example).__name__: example
    for example in (
        AcceptInvitation(_TOKEN),
        AddedPhone(
            _PHONE.device_id,
            _PHONE.name,
            "mjd_…",
            {"osmand": {"Server URL": "https://ex.am/osmand", "Device identifier": "mjd_…"}},
            {"_type": "configuration", "mode": 3, "url": "https://ex.am/owntracks"},
            "owntracks:///config?inline=…",
        ),
        AskByName("joon"),
        Asked("f6n8ck7m2p9x", "joon", _AT_MS),
        BecameFriends(_MINA),
        BlockedList([_STRANGER]),
        Bounds(37.4853515625, 126.9580078125, 37.529296875, 127.001953125),
        EraseMe("…"),
        _FRIEND,
        FriendList([_FRIEND]),
        _GROUP,
        GroupChange(sharing=SharingWish(Mode.OFF)),
        GroupList([_GROUP]),
        Here(37.4985, 127.0281, _AT_MS),
        _INVITATION,
        InvitationList([_INVITATION]),
        _NEAR,
        NearNow(_AT_MS, 8_046.72, Here(37.4985, 127.0281, _AT_MS), [_NEAR]),
        NewGroup("가족", SharingWish(Mode.BLURRED, 5)),
        _NEW_INVITATION,
        NewPhone("pixel"),
        PhoneList([_PHONE]),
        _PLACE,
        Profile(_MINA, "mina", "미나", 8_046.72, _BLURRED),
        ProfileChange(ghost_for="1h"),
        Requests([_STRANGER], [Asked("f6n8ck7m2p9x", "joon", _AT_MS)]),
        _EXACT,
        SharingWish(Mode.EXACT, for_="1h", history=True),
        _SHOWN,
        _STRANGER,
    )
}

ALSO: dict[str, set[int]] = {
    "accept_invitation": {404, 409, 410, 507},
    "accept_request": {409, 507},
    "add_group_member": {507},
    "add_phone": {409, 507},
    "ask_by_name": {409, 507},
    "block_person": {409, 507},
    "change_friends_me": {507},
    "change_group": {507},
    "create_group": {409, 507},
    "create_invitation": {400, 409, 507},
    "erase_me": {507},
    "erase_my_history": {507},
    "get_invitation": {410},
    "put_friend_sharing": {507},
    "remove_friend": {507},
    "remove_phone": {507},
}

CONTENT: dict[str, dict[str, Any]] = {
    "export_me": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
}

VALUES: dict[str, Any] = {
    "person_id": _JOON,
    "group_id": _GROUP.group_id,
    "invitation_id": _INVITATION.invitation_id,
    "request_id": "f6n8ck7m2p9x",
    "remove_phone.device_id": _PHONE.device_id,
    "get_invitation.token": _TOKEN,
}
