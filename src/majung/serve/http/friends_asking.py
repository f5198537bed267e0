"""Becoming friends: by a link that one hands over, or by asking for a name."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, delete, get, post
from litestar.params import Parameter

from majung.auth.model import Principal
from majung.friends.model import Invitation, NewInvitation, Stranger
from majung.serve.http.friends import TAGS
from majung.services import Services

_NO_STORE = {"Cache-Control": "no-store"}

InvitationId = Annotated[
    str, Parameter(min_length=1, max_length=64, description="The id that making the invitation gave.")
]
Token = Annotated[str, Parameter(min_length=1, max_length=128, description="The token of the link.")]


class InvitationList(msgspec.Struct, frozen=True):
    """Those that may still be accepted, oldest first."""

    invitations: list[Invitation]


class AcceptInvitation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The token: what follows `#/invite/` in the link."""

    token: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


class BecameFriends(msgspec.Struct, frozen=True):
    """With whom."""

    person_id: str


@post("/v1/friends/invitations", summary="Make an invitation", tags=TAGS)
async def create_invitation(
    request: Request[Any, Any, Any], services: Services, principal: Principal
) -> Response[NewInvitation]:
    """A link for one new friend. Its token is told this once; it ends after `friends.invitation_for`."""
    caller = await services.friends.me.caller(principal)
    base = services.settings.server.public_url or str(request.base_url)
    made = await services.friends.invitations.create(caller, base)
    return Response(made, headers=_NO_STORE)


@get("/v1/friends/invitations", summary="List invitations", tags=TAGS)
async def list_invitations(services: Services, principal: Principal) -> InvitationList:
    """The caller's own that may still be accepted; without the tokens, which are not kept."""
    caller = await services.friends.me.caller(principal)
    return InvitationList(await services.friends.invitations.all(caller))


@delete("/v1/friends/invitations/{invitation_id:str}", summary="Take an invitation back", tags=TAGS)
async def take_invitation_back(invitation_id: InvitationId, services: Services, principal: Principal) -> None:
    """Nobody can accept it any more. Done again: nothing."""
    caller = await services.friends.me.caller(principal)
    await services.friends.invitations.take_back(caller, invitation_id)


@get("/v1/friends/invitations/by-token/{token:str}", summary="Who invites", tags=TAGS)
async def get_invitation(token: Token, services: Services, principal: Principal) -> Response[Stranger]:
    """Before it is accepted. 404 when there never was such a link, 410 when it is over."""
    caller = await services.friends.me.caller(principal)
    return Response(await services.friends.invitations.who(caller, token), headers=_NO_STORE)


@post("/v1/friends/invitations/accept", status_code=200, summary="Accept an invitation", tags=TAGS)
async def accept_invitation(
    data: AcceptInvitation, services: Services, principal: Principal
) -> BecameFriends:
    """Both are friends when this returns, and neither sees more of the other than its default says.

    By the same caller again: the same answer. 410 when it is over: one link, one friend.
    """
    caller = await services.friends.me.caller(principal)
    return BecameFriends(await services.friends.invitations.accept(caller, data.token))


HANDLERS = [
    create_invitation,
    list_invitations,
    take_invitation_back,
    get_invitation,
    accept_invitation,
]
