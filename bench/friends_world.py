"""Who is whose friend, where, and on which server: made anew from a seed, the same every time.

People live in cities (sizes like 1, 1/2, 1/3, …; centres at random between 40° S and 50° N), normally
distributed with 8 km about the centre. Everybody has 400 friends: 240 in the same city, 160 anywhere. In a ring
of the city's people in random order, friends are those a fixed set of distances away, to both sides; so with
the whole world's ring. Friendship is therefore mutual, and nothing has to be stored to know it (a few tens of
people are friends twice over; they count once). One in ten is online; a balancer put each on a server at random.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from majung.positions.geodesy import EARTH_RADIUS_M

Ints = npt.NDArray[np.int64]
Small = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]

RADIUS_M = 8_046.72
SPREAD_M = 8_000.0
ONLINE = 0.1
IN_CITY, ANYWHERE = 240, 160


@dataclass
class World:
    """The people who are online, row by row; `friends` has a row for each, -1 where there is none."""

    people: int
    servers: int
    online: Small
    """Number of the person in each row."""
    friends: Small
    """Numbers of the friends, away or online; shape (rows, friends)."""
    server: Small
    latitude: Floats
    longitude: Floats
    radius_m: float = RADIUS_M
    _persons: dict[int, Ints] = field(default_factory=dict, init=False)

    @cached_property
    def row_of(self) -> Small:
        """The row of each person, -1 when away."""
        rows = np.full(self.people + 1, -1, dtype=np.int32)  # the last is nobody: a friend of -1
        rows[self.online] = np.arange(len(self.online), dtype=np.int32)
        return rows

    def online_friends(self, row: int) -> Small:
        """Rows of the friends who are online, each once."""
        rows = self.row_of[self.friends[row]]
        found: Small = np.unique(rows[rows >= 0])
        return found

    def servers_of_friends(self, row: int) -> list[int]:
        """Servers that have an online friend of this person."""
        return [int(server) for server in np.unique(self.server[self.online_friends(row)])]

    def servers_near(self, row: int) -> list[int]:
        """Servers that have an online friend within the radius."""
        friends = self.online_friends(row)
        away_m = flat_m(
            self.latitude[row], self.longitude[row], self.latitude[friends], self.longitude[friends]
        )
        return [int(server) for server in np.unique(self.server[friends[away_m <= self.radius_m]])]

    def counts_on(self, server: int) -> Ints:
        """For each person, how many online friends it has on this server."""
        friends = np.sort(self.friends[self.server == server], axis=1)
        first = np.ones_like(friends, dtype=bool)
        first[:, 1:] = friends[:, 1:] != friends[:, :-1]
        return np.bincount(friends[first & (friends >= 0)], minlength=self.people)

    def persons_on(self, server: int) -> Ints:
        """Everybody, away or online, who has an online friend on this server."""
        if server not in self._persons:
            self._persons[server] = np.flatnonzero(self.counts_on(server))
        return self._persons[server]

    def rows_on(self, server: int) -> Ints:
        """Rows of the people whom this server serves."""
        return np.flatnonzero(self.server == server)


def flat_m(latitude: float, longitude: float, latitudes: Floats, longitudes: Floats) -> Floats:
    """Distances of a few kilometres, and far ones far; good enough to count by."""
    north = np.radians(latitudes - latitude)
    east = np.radians((longitudes - longitude + 180) % 360 - 180) * np.cos(np.radians(latitude))
    away_m: Floats = EARTH_RADIUS_M * np.hypot(north, east)
    return away_m


def _ring(members: Ints, at: Ints, steps: Ints) -> Small:
    """Friends on a ring: those `steps` away to both sides of the places `at`; shape (places, 2 * steps)."""
    both = np.concatenate((steps, -steps))
    found: Small = members[(at[:, None] + both[None, :]) % len(members)].astype(np.int32)
    return found


def _steps(rnd: np.random.Generator, around: int, friends: int) -> Ints:
    """Half as many distances as friends wanted, or as many as a small ring has."""
    farthest = (around - 1) // 2
    return rnd.permutation(np.arange(1, farthest + 1))[: friends // 2]


def build(people: int, servers: int, cities: int, seed: int = 4) -> World:
    """A world as described above."""
    rnd = np.random.default_rng(seed)
    shares = 1 / np.arange(1, cities + 1)
    city = rnd.choice(cities, size=people, p=shares / shares.sum())
    online = np.sort(rnd.permutation(people)[: round(people * ONLINE)])
    friends = np.full((len(online), IN_CITY + ANYWHERE), -1, dtype=np.int32)

    for number in range(cities):
        members = np.flatnonzero(city == number)  # the order of numbers has nothing to do with places
        rows = np.flatnonzero(city[online] == number)
        local = _ring(members, np.searchsorted(members, online[rows]), _steps(rnd, len(members), IN_CITY))
        friends[rows, : local.shape[1]] = local
    order = rnd.permutation(people)
    at = np.argsort(order)
    anywhere = _ring(order, at[online], _steps(rnd, people, ANYWHERE))
    friends[:, IN_CITY : IN_CITY + anywhere.shape[1]] = anywhere

    centre_latitude, centre_longitude = rnd.uniform(-40, 50, cities), rnd.uniform(-170, 170, cities)
    degree_m = np.pi / 180 * EARTH_RADIUS_M
    home = city[online]
    latitude = centre_latitude[home] + rnd.normal(0, SPREAD_M / degree_m, len(online))
    wide = degree_m * np.cos(np.radians(centre_latitude[home]))
    longitude = centre_longitude[home] + rnd.normal(0, SPREAD_M, len(online)) / wide
    server = rnd.integers(0, servers, len(online), dtype=np.int32)
    return World(people, servers, online.astype(np.int32), friends, server, latitude, longitude)


def by_region(world: World) -> World:
    """The same people, but whoever lives in one region is on the same server: sorted by longitude, cut evenly."""
    server = np.empty_like(world.server)
    server[np.argsort(world.longitude)] = np.arange(len(server)) * world.servers // len(server)
    return replace(world, server=server)
