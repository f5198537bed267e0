"""Friends on their way to whoever reports by MQTT.

A user who reported within `mqtt.show_for` is a viewer like one with an open stream: who is near, what may be
seen of them and when that ends is decided there, and each message says what holds at the moment it is written.
Here it becomes topics: FRIENDS_TOPIC/USER/FRIEND is a friend's place, …/info its name and face, and an empty
message takes the friend off the map. Places are sent with QoS 0, for nobody wants an old one later; the empty
message with QoS 1, for the broker to keep until the phone is back.

What a phone shows from before is not known here (after a restart, or an hour of silence), so the first thing a
user is told is which friends are *not* to be seen.
"""

import asyncio
import contextlib
from collections.abc import Sequence

import msgspec
import structlog

from majung.auth.model import AuthError, Principal, Role
from majung.auth.reporters import Reporters, UnknownReporter
from majung.clock import Clock
from majung.friends.model import Near
from majung.friends.nearby import Nearby
from majung.friends.people import People
from majung.live.viewer import ViewerClosed
from majung.observe.families import Counted, Figure, Level
from majung.ports import PortError
from majung.positions.model import kind_of
from majung.serve.mqtt.link import Link, Lost
from majung.serve.mqtt.phones import WILD
from majung.serve.told import card_of, location_of, tag_of
from majung.settings import MqttSettings

log = structlog.get_logger("majung.mqtt")

MAX_USERS = 100_000
CARD_EVERY_S = 600.0
"""A phone that was away when a friend's card went out has it after so long."""
RIGHTS_ENDED = 4401
_LOOK_EVERY_S = 5.0
_CHUNK = 50


class _Snapshot(msgspec.Struct, frozen=True, tag="snapshot"):
    here: object
    near: list[Near]


class _Moved(msgspec.Struct, frozen=True, tag="near"):
    entered: bool
    friend: Near


class _Left(msgspec.Struct, frozen=True, tag="left"):
    person_id: str


class _Distances(msgspec.Struct, frozen=True, tag="distances"):
    here: object = None


class _FriendsChanged(msgspec.Struct, frozen=True, tag="friends_changed"):
    pass


_decode = msgspec.json.Decoder(_Snapshot | _Moved | _Left | _Distances | _FriendsChanged).decode


class _User:
    """Somebody who reports: as whom, when last, and what the phone shows as far as we know."""

    __slots__ = ("cards", "heard_s", "name", "person_id", "shown", "task", "was_cleared")

    def __init__(self, name: str, person_id: str, heard_s: float) -> None:
        self.name = name
        self.person_id = person_id
        self.heard_s = heard_s
        self.cards: dict[str, float] = {}
        self.shown: set[str] = set()
        self.was_cleared = False
        self.task: asyncio.Task[None] | None = None


class FriendsOut:
    """Publishes friends. One for each server; belongs to its event loop."""

    def __init__(
        self, settings: MqttSettings, nearby: Nearby, people: People, reporters: Reporters, clock: Clock
    ) -> None:
        self._settings = settings
        self._nearby = nearby
        self._people = people
        self._reporters = reporters
        self._clock = clock
        self._users: dict[str, _User] = {}
        self._link: Link | None = None
        self._failed: asyncio.Future[None] | None = None
        self._counts = dict.fromkeys(("place", "card", "cleared", "turned_away"), 0)

    def heard(self, user: str, principal: Principal) -> None:
        """This user has just reported."""
        if kind_of(principal.rider_id) != "person" or WILD & set(user):
            return
        known = self._users.get(user)
        if known is not None and known.person_id == principal.rider_id:
            known.heard_s = self._clock.monotonic_s()
        elif len(self._users) < MAX_USERS:
            self._stop(known)
            known = self._users[user] = _User(user, principal.rider_id, self._clock.monotonic_s())
        else:
            self._counts["turned_away"] += 1
            return
        if known.task is None and self._link is not None:
            known.task = asyncio.create_task(self._serve(known, self._link), name=f"mqtt-{user}")

    async def run(self, link: Link) -> None:
        """Serve those who report, until cancelled; raises what ended the link."""
        self._link, self._failed = link, asyncio.get_running_loop().create_future()
        try:
            while True:
                await asyncio.wait((self._failed,), timeout=_LOOK_EVERY_S)
                if self._failed.done():
                    self._failed.result()
                self._forget_silent()
        finally:
            self._link = None
            for user in self._users.values():
                self._stop(user)
            self._users = {}

    def figures(self) -> Sequence[Figure]:
        """For `/metrics`."""
        text = "What was published for those who report by MQTT."
        return [
            Counted("majung_mqtt_published", text, "what", self._counts),
            Level("majung_mqtt_users", "Who is shown friends by MQTT.", len(self._users)),
        ]

    # ------------------------------------------------------------------------------------- one user

    def _forget_silent(self) -> None:
        before_s = self._clock.monotonic_s() - self._settings.show_for.total_seconds()
        for user in [user for user in self._users.values() if user.heard_s < before_s]:
            self._stop(self._users.pop(user.name))

    def _stop(self, user: _User | None) -> None:
        if user is not None and user.task is not None:
            user.task.cancel()
            user.task = None

    async def _serve(self, user: _User, link: Link) -> None:
        """Publish for one user until its rights end, the link is lost, or it is silent for long."""
        try:
            await self._publish_for(user, link)
        except Lost as problem:
            if self._failed is not None and not self._failed.done():
                self._failed.set_exception(problem)
        except ViewerClosed as closed:
            if closed.code == RIGHTS_ENDED:
                with contextlib.suppress(Lost):
                    await self._clear(user, link, set(user.shown))
        except (PortError, AuthError) as problem:
            self._counts["turned_away"] += 1
            log.warning("friends are not published", user=user.name, why=str(problem))
        except Exception:  # of one user; the others go on
            log.exception("friends are not published", user=user.name)
        finally:
            user.task = None

    async def _publish_for(self, user: _User, link: Link) -> None:
        # A device's credential reports and sees friends by its phone alone; here it is the person.
        viewer = Principal(f"mqtt:{user.name}", Role.PERSON, user.person_id)
        stream = await self._nearby.open(viewer, lambda: self._still(user))
        try:
            while True:
                for frame in await stream.take():
                    if frame.body:
                        await self._tell(user, link, _decode(frame.body))
        finally:
            self._nearby.leave(stream)

    async def _still(self, user: _User) -> object:
        """Raises AuthError when this user is not this person any more."""
        try:
            principal = await self._reporters.named(user.name)
        except UnknownReporter:
            raise AuthError("this user reports no more") from None
        if principal.rider_id != user.person_id:
            raise AuthError("this user is somebody else now")
        return principal

    async def _tell(self, user: _User, link: Link, message: object) -> None:
        if isinstance(message, _Snapshot):
            near = {one.place.person_id for one in message.near}
            await self._clear(user, link, user.shown - near)
            for one in message.near:
                await self._show(user, link, one, entered=True)
        elif isinstance(message, _Moved):
            await self._show(user, link, message.friend, message.entered)
        elif isinstance(message, _Left):
            await self._clear(user, link, {message.person_id})
        if isinstance(message, _Snapshot | _Distances) and message.here is not None and not user.was_cleared:
            # Only now is it known who is near: the report that began all this had to come out of the log.
            user.was_cleared = True
            friends = set(await self._people.friends_of(user.person_id))
            await self._clear(
                user, link, friends - user.shown, qos=0
            )  # the phone is there: it has just reported

    async def _show(self, user: _User, link: Link, one: Near, entered: bool) -> None:
        place = one.place
        topic, tid = self._topic(user, place.person_id), one.display_name[:2]
        now_s = self._clock.monotonic_s()
        user.shown.add(place.person_id)
        if entered or now_s - user.cards.get(place.person_id, -CARD_EVERY_S) >= CARD_EVERY_S:
            user.cards[place.person_id] = now_s
            self._counts["card"] += 1
            await link.publish(f"{topic}/info", card_of(one, tid, topic), 0)
        self._counts["place"] += 1
        await link.publish(topic, location_of(place, tid, topic), 0)

    async def _clear(self, user: _User, link: Link, person_ids: set[str], qos: int = 1) -> None:
        for number, person_id in enumerate(sorted(person_ids), 1):
            user.shown.discard(person_id)
            user.cards.pop(person_id, None)
            self._counts["cleared"] += 1
            await link.publish(self._topic(user, person_id), b"", qos)
            if number % _CHUNK == 0:
                await asyncio.sleep(0)  # what fits into the socket is written without a pause

    def _topic(self, user: _User, person_id: str) -> str:
        return f"{self._settings.friends_topic}/{user.name}/{tag_of(person_id)}"
