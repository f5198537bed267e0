"""Who gets which order, when many are decided at once: a pure function, and the greedy one beside it.

`assign` gives as many orders a rider as can be, and among those ways takes the one with the least metres in
total: the assignment problem, solved by scipy (Crouse 2016, a Jonker-Volgenant variant). `greedy` goes
through the orders in turn and takes the nearest rider left, as dispatch does without `dispatch.batch`.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from majung.positions.geodesy import distances_m

Floats = npt.NDArray[np.float64]

_FORBIDDEN_M = 1e9  # more than all ways of a batch together, so that one more order served beats any detour


class Wish(msgspec.Struct, frozen=True):
    """An order that needs a rider within `reach_m` of its store, and not one of `refused`."""

    order_id: str
    latitude: float
    longitude: float
    reach_m: float
    refused: frozenset[str] = frozenset()


class Free(msgspec.Struct, frozen=True):
    """A rider who could take one order."""

    rider_id: str
    latitude: float
    longitude: float


class Pair(msgspec.Struct, frozen=True):
    """This order to that rider, who is `distance_m` from its store (straight line)."""

    order_id: str
    rider_id: str
    distance_m: float


def require_scipy() -> None:
    """Raises ValueError, saying what to do, when scipy is not installed."""
    try:
        import scipy.optimize  # type: ignore[import-untyped, unused-ignore]  # noqa: F401
    except ImportError:
        raise ValueError(
            "dispatch.batch needs scipy: install it with pip install 'majung[dispatch]', or leave the setting off"
        ) from None


def assign(orders: Sequence[Wish], riders: Sequence[Free]) -> list[Pair]:
    """Pairs in the order of `orders`; who cannot be served is not in them. Raises ValueError without scipy."""
    require_scipy()
    from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped, unused-ignore]

    if not orders or not riders:
        return []
    metres = _metres(orders, riders)
    rows, columns = linear_sum_assignment(metres)
    return [
        Pair(orders[i].order_id, riders[j].rider_id, float(metres[i, j]))
        for i, j in zip(rows.tolist(), columns.tolist(), strict=True)
        if metres[i, j] < _FORBIDDEN_M
    ]


def greedy(orders: Sequence[Wish], riders: Sequence[Free]) -> list[Pair]:
    """The same, each order taking the nearest rider that is left."""
    if not orders or not riders:
        return []
    metres = _metres(orders, riders)
    pairs: list[Pair] = []
    for i, order in enumerate(orders):
        j = int(metres[i].argmin())
        if metres[i, j] < _FORBIDDEN_M:
            pairs.append(Pair(order.order_id, riders[j].rider_id, float(metres[i, j])))
            metres[:, j] = _FORBIDDEN_M
    return pairs


def _metres(orders: Sequence[Wish], riders: Sequence[Free]) -> Floats:
    """Metres from each store to each rider, shape (orders, riders); _FORBIDDEN_M where it must not be."""
    latitudes = np.array([rider.latitude for rider in riders])
    longitudes = np.array([rider.longitude for rider in riders])
    metres = np.empty((len(orders), len(riders)))
    for i, order in enumerate(orders):
        metres[i] = distances_m(order.latitude, order.longitude, latitudes, longitudes)
        metres[i, metres[i] > order.reach_m] = _FORBIDDEN_M
        if order.refused:
            metres[i, [rider.rider_id in order.refused for rider in riders]] = _FORBIDDEN_M
    return metres
