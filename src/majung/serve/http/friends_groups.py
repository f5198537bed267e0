"""Groups of friends, and what each group sees."""

from typing import Annotated

import msgspec
from litestar import delete, get, patch, post, put
from litestar.params import Parameter

from majung.auth.model import Principal
from majung.friends.groups import GroupChange, NewGroup
from majung.friends.model import Group
from majung.serve.http.friends import TAGS, PersonId
from majung.services import Services

GroupId = Annotated[
    str, Parameter(min_length=1, max_length=64, description="The id that making the group gave.")
]


class GroupList(msgspec.Struct, frozen=True):
    """By name."""

    groups: list[Group]


@get("/v1/friends/groups", summary="List groups", tags=TAGS)
async def list_groups(services: Services, principal: Principal) -> GroupList:
    """The caller's own; nobody else knows of them."""
    caller = await services.friends.me.caller(principal)
    return GroupList(await services.friends.groups.all(caller))


@post("/v1/friends/groups", summary="Make a group", tags=TAGS)
async def create_group(data: NewGroup, services: Services, principal: Principal) -> Group:
    """With nobody in it yet."""
    caller = await services.friends.me.caller(principal)
    return await services.friends.groups.create(caller, data)


@patch("/v1/friends/groups/{group_id:str}", status_code=204, summary="Change a group", tags=TAGS)
async def change_group(
    group_id: GroupId, data: GroupChange, services: Services, principal: Principal
) -> None:
    """Its name, or what its members see. Whoever is in several groups sees the least of them."""
    caller = await services.friends.me.caller(principal)
    await services.friends.groups.change(caller, group_id, data)


@delete("/v1/friends/groups/{group_id:str}", summary="Delete a group", tags=TAGS)
async def delete_group(group_id: GroupId, services: Services, principal: Principal) -> None:
    """Its members stay friends; what was decided for it counts no more. Done again: nothing."""
    caller = await services.friends.me.caller(principal)
    await services.friends.groups.delete(caller, group_id)


@put(
    "/v1/friends/groups/{group_id:str}/members/{person_id:str}",
    status_code=204,
    summary="Put a friend into a group",
    tags=TAGS,
)
async def add_group_member(
    group_id: GroupId, person_id: PersonId, services: Services, principal: Principal
) -> None:
    """Done again: nothing."""
    caller = await services.friends.me.caller(principal)
    await services.friends.groups.add(caller, group_id, person_id)


@delete(
    "/v1/friends/groups/{group_id:str}/members/{person_id:str}",
    summary="Take a friend out of a group",
    tags=TAGS,
)
async def remove_group_member(
    group_id: GroupId, person_id: PersonId, services: Services, principal: Principal
) -> None:
    """Done again: nothing."""
    caller = await services.friends.me.caller(principal)
    await services.friends.groups.take_out(caller, group_id, person_id)


HANDLERS = [
    list_groups,
    create_group,
    change_group,
    delete_group,
    add_group_member,
    remove_group_member,
]
