"""Friends: who the caller is, who its friends are, and what each of them sees.

For people alone (the role person); everybody else is refused, administrators included. Where friends are is in
`friends_live.py` and `friends_reads.py`.
"""

from typing import Annotated

import msgspec
from litestar import delete, get, patch, post, put
from litestar.params import Parameter

from majung.auth.model import Principal
from majung.friends.me import ProfileChange, profile
from majung.friends.model import Friend, Profile, Stranger
from majung.friends.sharing import SharingWish
from majung.services import Services

TAGS = ["friends"]
PersonId = Annotated[str, Parameter(min_length=1, max_length=128, description="The id of somebody else.")]


class FriendList(msgspec.Struct, frozen=True):
    """By display name."""

    friends: list[Friend]


class BlockedList(msgspec.Struct, frozen=True):
    """Newest first."""

    blocked: list[Stranger]


@get("/v1/friends/me", summary="Read oneself", tags=TAGS)
async def get_friends_me(services: Services, principal: Principal) -> Profile:
    """Names, radius, and what friends see for whom nothing else was decided: at first nothing (`off`)."""
    caller = await services.friends.me.caller(principal)
    return profile(caller, services.clock.now_ms())


@patch("/v1/friends/me", summary="Change oneself", tags=TAGS)
async def change_friends_me(data: ProfileChange, services: Services, principal: Principal) -> Profile:
    """What is not given stays. Ghost mode closes what others have open within a second."""
    caller = await services.friends.me.caller(principal)
    changed = await services.friends.me.change(caller, data)
    return profile(changed, services.clock.now_ms())


@get("/v1/friends", summary="List friends", tags=TAGS)
async def list_friends(services: Services, principal: Principal) -> FriendList:
    """With what each sees of the caller (`gives`), and the caller of each (`gets`)."""
    caller = await services.friends.me.caller(principal)
    return FriendList(await services.friends.friendships.all(caller))


@delete("/v1/friends/{person_id:str}", summary="End a friendship", tags=TAGS)
async def remove_friend(person_id: PersonId, services: Services, principal: Principal) -> None:
    """For both, at once; nothing of either is seen by the other any more, also nothing of before."""
    caller = await services.friends.me.caller(principal)
    await services.friends.friendships.remove(caller, person_id)


@put("/v1/friends/{person_id:str}/sharing", status_code=204, summary="Decide what a friend sees", tags=TAGS)
async def put_friend_sharing(
    person_id: PersonId, data: SharingWish, services: Services, principal: Principal
) -> None:
    """For this friend alone, over groups and the default. History begins at the change."""
    caller = await services.friends.me.caller(principal)
    await services.friends.deciding.put(caller, person_id, data)


@delete("/v1/friends/{person_id:str}/sharing", summary="Decide nothing for a friend alone", tags=TAGS)
async def clear_friend_sharing(person_id: PersonId, services: Services, principal: Principal) -> None:
    """The friend's groups count again, and the default. Done again: nothing."""
    caller = await services.friends.me.caller(principal)
    await services.friends.deciding.clear(caller, person_id)


@post("/v1/friends/{person_id:str}/block", status_code=204, summary="Block somebody", tags=TAGS)
async def block_person(person_id: PersonId, services: Services, principal: Principal) -> None:
    """No friends any more, and no requests or invitations between you. They are told nothing."""
    caller = await services.friends.me.caller(principal)
    await services.friends.friendships.block(caller, person_id)


@delete("/v1/friends/{person_id:str}/block", summary="Unblock somebody", tags=TAGS)
async def unblock_person(person_id: PersonId, services: Services, principal: Principal) -> None:
    """They may ask again; friends you are not. Done again: nothing."""
    caller = await services.friends.me.caller(principal)
    await services.friends.friendships.unblock(caller, person_id)


@get("/v1/friends/blocked", summary="List whom one has blocked", tags=TAGS)
async def list_blocked(services: Services, principal: Principal) -> BlockedList:
    """Newest first."""
    caller = await services.friends.me.caller(principal)
    return BlockedList(await services.friends.friendships.blocked(caller))


HANDLERS = [
    get_friends_me,
    change_friends_me,
    list_friends,
    remove_friend,
    put_friend_sharing,
    clear_friend_sharing,
    block_person,
    unblock_person,
    list_blocked,
]
