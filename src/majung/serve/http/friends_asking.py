"""Becoming friends: by a link that one hands over, or by asking for a name."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, delete, get, post
from litestar.params import Parameter

from majung.auth.model import Principal
from majung.friends.model import Invitation, NewInvitation, Requests, Stranger
from majung.serve.http.friends import TAGS, PersonId
from majung.services import Services

_NO_STORE = {"Cache-Control": "no-store"}

InvitationId = Annotated[
    str, Parameter(min_length=1, max_length=64, description="The id that making the invitation gave.")
]
RequestId = Annotated[
    str, Parameter(min_length=1, max_length=64, description="The id of an outgoing request.")
]
Token = Annotated[str, Parameter(min_length=1, max_length=128, description="The token of the link.")]


class InvitationList(msgspec.Struct, frozen=True):
    """Those that may still be accepted, oldest first."""

    invitations: list[Invitation]


class AcceptInvitation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The token: what follows `#/invite/` in the link."""

    token: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


class AskByName(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The account's name of somebody, as they gave it at sign-up."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


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


@post("/v1/friends/requests", status_code=204, summary="Ask somebody by name", tags=TAGS)
async def ask_by_name(data: AskByName, services: Services, principal: Principal) -> None:
    """The answer is the same whether there is such a person or not. If they ask already, you are friends now.

    Asked again: nothing. 429 after many.
    """
    caller = await services.friends.me.caller(principal)
    await services.friends.requests.ask(caller, data.name)


@get("/v1/friends/requests", summary="List requests", tags=TAGS)
async def list_requests(services: Services, principal: Principal) -> Requests:
    """Who asks the caller, and whom the caller asked, whether there is such a person or not. For 30 days."""
    caller = await services.friends.me.caller(principal)
    return await services.friends.requests.all(caller)


@post("/v1/friends/requests/{person_id:str}/accept", status_code=204, summary="Accept a request", tags=TAGS)
async def accept_request(person_id: PersonId, services: Services, principal: Principal) -> None:
    """Both are friends when this returns. 404 when this person does not ask."""
    caller = await services.friends.me.caller(principal)
    await services.friends.requests.accept(caller, person_id)


@post("/v1/friends/requests/{person_id:str}/decline", status_code=204, summary="Decline a request", tags=TAGS)
async def decline_request(person_id: PersonId, services: Services, principal: Principal) -> None:
    """Who asked is not told, and cannot ask again for a month. Done again: nothing."""
    caller = await services.friends.me.caller(principal)
    await services.friends.requests.decline(caller, person_id)


@delete("/v1/friends/requests/{request_id:str}", summary="Take a request back", tags=TAGS)
async def take_request_back(request_id: RequestId, services: Services, principal: Principal) -> None:
    """By the `request_id` of an outgoing one. Done again: nothing."""
    caller = await services.friends.me.caller(principal)
    await services.friends.requests.take_back(caller, request_id)


HANDLERS = [
    create_invitation,
    list_invitations,
    take_invitation_back,
    get_invitation,
    accept_invitation,
    ask_by_name,
    list_requests,
    accept_request,
    decline_request,
    take_request_back,
]
