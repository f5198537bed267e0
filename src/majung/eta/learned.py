"""Everything that arrivals teach: delays, kitchens, errors and ways; each part has a name under which it is kept.

Each is bounded: a delay by its `most`, a kitchen's ratio by `_RATIOS`, the number of kitchens by `MAX_KITCHENS`.
"""

import math
from collections import OrderedDict
from collections.abc import Iterable

import msgspec
import structlog

from majung.eta.errors import Errors
from majung.eta.model import Stage
from majung.routing.ways import Sums, Ways

log = structlog.get_logger("majung.eta")

MAX_KITCHENS = 50_000
_RATIOS = (0.2, 5.0)
_LATELY = 20.0
_EVERYWHERE_LATELY = 300.0
_PRIOR_ORDERS = 5.0


class Mean(msgspec.Struct):
    """A mean of the last `memory` values or so, beginning with a guess that counts as much as ten."""

    value: float
    seen: float = 10.0

    def add(self, value: float, most: float, memory: float = 300.0) -> None:
        """One more, taken as within 0…most."""
        self.seen = min(self.seen + 1, memory)
        self.value += (min(max(value, 0.0), most) - self.value) / self.seen


class Kitchen(msgspec.Struct):
    """How a store cooked lately: how long it said, seconds, and what it needed of that; of how many orders each."""

    ratio: float = 1.0
    said_s: float = 900.0
    seen: float = 0.0
    heard: float = 0.0

    def say(self, said_s: float, memory: float) -> None:
        """One more order was accepted; about so many are remembered."""
        self.heard = min(self.heard + 1, memory)
        self.said_s += (said_s - self.said_s) / self.heard

    def add(self, ratio: float, memory: float) -> None:
        """One more order is ready."""
        self.seen = min(self.seen + 1, memory)
        self.ratio += (ratio - self.ratio) / self.seen


class StoredErrors(msgspec.Struct, frozen=True):
    """`Errors` as they are kept."""

    seen: int
    counts: list[float]


# Seconds: what is expected before anything is learned, and the most that one order may say.
DELAYS = {
    "accept": (60.0, 1_800.0),  # placed → accepted
    "match": (45.0, 1_800.0),  # accepted → a rider has it
    "approach": (240.0, 3_600.0),  # a rider has it → at the store
    "pick_up": (45.0, 1_800.0),  # cooked and the rider there → in the bag
    "hand_over": (75.0, 1_800.0),  # at the door → delivered
    "streets": (1.0, 5.0),  # not seconds: needed, of what was forecast along streets
}
EVERYWHERE = "*"


class Learned:
    """Belongs to one event loop; `changed` names what was not stored yet."""

    def __init__(self, ways: Ways) -> None:
        self.ways = ways
        self.delays = {name: Mean(guess) for name, (guess, _) in DELAYS.items()}
        self.errors = {stage: Errors() for stage in Stage}
        self._everywhere = Kitchen(seen=10.0, heard=3.0)
        self._kitchens: OrderedDict[str, Kitchen] = OrderedDict()
        self.changed: set[str] = set()

    # ------------------------------------------------------------------------------------- asking

    def delay_ms(self, name: str) -> float:
        """What one of `DELAYS` is expected to take."""
        return self.delays[name].value * 1000

    def cooking(self, store_id: str) -> Kitchen:
        """What to expect of a kitchen: its own lately, and as long as that is little, that of all."""
        everywhere, own = self._everywhere, self._kitchens.get(store_id)
        if own is None:
            return everywhere
        seen, heard = own.seen / (own.seen + _PRIOR_ORDERS), own.heard / (own.heard + _PRIOR_ORDERS)
        return Kitchen(
            everywhere.ratio + seen * (own.ratio - everywhere.ratio),
            everywhere.said_s + heard * (own.said_s - everywhere.said_s),
        )

    # ----------------------------------------------------------------------------------- learning

    def took(self, name: str, value: float) -> None:
        """A delay has ended. What is not a number, and what a jump of clocks made negative, says nothing."""
        if math.isfinite(value) and value >= 0:
            self.delays[name].add(value, DELAYS[name][1])
            self.changed.add(f"delay {name}")

    def said(self, store_id: str, said_s: float) -> None:
        """A kitchen accepted an order and said how long: known long before any is cooked."""
        if 0 < said_s < math.inf:
            self._kitchen(store_id).say(said_s, _LATELY)
            self._everywhere.say(said_s, _EVERYWHERE_LATELY)

    def cooked(self, store_id: str, said_s: float, needed_s: float) -> None:
        """A kitchen said so long and needed so long."""
        if 0 < said_s < math.inf and 0 <= needed_s < math.inf:
            ratio = min(max(needed_s / said_s, _RATIOS[0]), _RATIOS[1])
            self._kitchen(store_id).add(ratio, _LATELY)
            self._everywhere.add(ratio, _EVERYWHERE_LATELY)

    def _kitchen(self, store_id: str) -> Kitchen:
        """What is known of a kitchen, about to be changed; the one that changed longest ago makes room."""
        own = self._kitchens.setdefault(store_id, Kitchen())
        self._kitchens.move_to_end(store_id)
        self.changed |= {f"kitchen {store_id}", f"kitchen {EVERYWHERE}"}
        while len(self._kitchens) > MAX_KITCHENS:
            gone, _ = self._kitchens.popitem(last=False)
            self.changed.discard(f"kitchen {gone}")
        return own

    def missed(self, stage: Stage, error: float) -> None:
        """An arrival came so much later (of what was left and a minute) than predicted in that stage."""
        self.errors[stage].add(error)
        self.changed.add(f"errors {stage}")

    # ------------------------------------------------------------------------------------- keeping

    def take_changed(self) -> list[tuple[str, bytes]]:
        """What is to be stored now: name and JSON."""
        names = self.changed | {f"way {key}" for key in self.ways.changed}
        self.changed, self.ways.changed = set(), set()
        return [(name, msgspec.json.encode(self._part(name))) for name in sorted(names)]

    def changed_again(self, names: Iterable[str]) -> None:
        """These could not be stored."""
        for name in names:
            kind, _, key = name.partition(" ")
            (self.ways.changed.add(key) if kind == "way" else self.changed.add(name))

    def _part(self, name: str) -> msgspec.Struct:
        kind, _, key = name.partition(" ")
        if kind == "delay":
            return self.delays[key]
        if kind == "errors":
            return StoredErrors(*self.errors[Stage(key)].stored())
        if kind == "way":
            return self.ways.get(key)
        return self._everywhere if key == EVERYWHERE else self._kitchens[key]

    def load(self, stored: Iterable[tuple[str, bytes]]) -> None:
        """What `take_changed` gave, longest unchanged first. A part that cannot be read is learned anew."""
        for name, body in stored:
            kind, _, key = name.partition(" ")
            try:
                self._put(kind, key, body)
            except (msgspec.DecodeError, ValueError, TypeError) as problem:
                log.warning("part_unreadable", name=name, problem=str(problem))

    def _put(self, kind: str, key: str, body: bytes) -> None:
        if kind == "delay" and key in self.delays:
            self.delays[key] = msgspec.json.decode(body, type=Mean)
        elif kind == "errors":
            kept = msgspec.json.decode(body, type=StoredErrors)
            self.errors[Stage(key)] = Errors(kept.counts, kept.seen)
        elif kind == "way":
            self.ways.put([(key, msgspec.json.decode(body, type=Sums))])
        elif kind == "kitchen" and key == EVERYWHERE:
            self._everywhere = msgspec.json.decode(body, type=Kitchen)
        elif kind == "kitchen":
            self._kitchens[key] = msgspec.json.decode(body, type=Kitchen)
