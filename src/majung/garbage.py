"""Python's collector of cyclic garbage, set for a server that makes little of it.

By default it runs whenever 700 more objects live than at its last run. A thousand positions in flight are
more than that, so it ran for nearly every batch, walked the riders' states with it, and found nothing: a
tenth of the event loop's time (docs/decisions/0004-grpc-door.md). What is not in a cycle is freed without it.
"""

import gc

NEW_OBJECTS = 50_000
"""Collect when so many more objects live than before: garbage of at most about 10 MB."""


def collect_rarely() -> None:
    """Call once, when everything that lives as long as the process has been made."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS, 20, 20)
