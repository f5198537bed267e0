"""One effect for each (rider, session, seq): which seqs of a session have been seen.

Seqs that were seen are kept as ranges; a device that counts 1, 2, 3 … costs one range whatever it
sends, and a backlog that arrives late fills its gap. A plain "last seq" would throw the backlog away.

The memory is bounded: when a session has more than `MAX_RANGES` gaps, the lowest range is forgotten,
and when a rider has more than `positions.max_sessions`, the session unused for longest. Forgetting is
safe: history has the identity as its key and refuses a second copy. This module is the fast path.
"""

from bisect import bisect_right

MAX_RANGES = 32


def add(ranges: list[int], seq: int) -> bool:
    """Note `seq` in `ranges` (flat: low, high, low, high …, ascending, inclusive). False: seen before."""
    if not ranges:
        ranges += (seq, seq)
        return True
    high = ranges[-1]
    if seq == high + 1:
        ranges[-1] = seq
        return True
    if seq > high:
        ranges += (seq, seq)
    else:
        at = bisect_right(ranges, seq)
        if at % 2 or ranges[at - 1] == seq:
            return False
        _insert(ranges, at, seq)
    if len(ranges) > 2 * MAX_RANGES:
        del ranges[:2]
    return True


def _insert(ranges: list[int], at: int, seq: int) -> None:
    """Put `seq` into the gap before `ranges[at]` (at is even), joining what it touches."""
    joins_left = at > 0 and ranges[at - 1] + 1 == seq
    joins_right = ranges[at] - 1 == seq
    if joins_left and joins_right:
        del ranges[at - 1 : at + 1]
    elif joins_left:
        ranges[at - 1] = seq
    elif joins_right:
        ranges[at] = seq
    else:
        ranges[at:at] = (seq, seq)


def is_new(sessions: dict[str, list[int]], session_id: str, seq: int, max_sessions: int) -> bool:
    """Note one position of a rider; False when it was seen before. Newest-used session last."""
    ranges = sessions.get(session_id)
    if ranges is None:
        if len(sessions) >= max_sessions:
            del sessions[next(iter(sessions))]
        ranges = sessions[session_id] = []
    elif len(sessions) > 1 and next(reversed(sessions)) != session_id:
        sessions[session_id] = sessions.pop(session_id)
    return add(ranges, seq)
