"""How many connections a door may hold: a file descriptor each, and the process has only so many.

Without a bound, a flood of connections takes the last descriptor, and then the disk cannot be opened
either. Each door takes at most half of what the process may open, less a reserve for files; and what the
other door does not want.
"""

import structlog

log = structlog.get_logger("majung.descriptors")

RESERVE = 384
"""Descriptors for files: the log, an hour file of history and its companions, the databases, pipes."""

_FEWEST = 64


def connection_bound(door: str, wanted: int, others_want: int = 1 << 30) -> int:
    """`wanted` connections for `door`, or as many as the process may hold; says so when it is fewer.

    Raises the process's soft limit of open files to its hard limit first: the soft one is often 1,024,
    for the sake of programs that use `select`.
    """
    free = _allowed_files() - RESERVE
    bound = max(_FEWEST, free // 2, free - others_want)
    if wanted > bound:
        log.info("fewer_connections", door=door, wanted=wanted, allowed=bound, mend="raise ulimit -n")
    return min(wanted, bound)


def _allowed_files() -> int:
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return 1 << 20
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):  # macOS calls "unlimited" what it then refuses
            return soft
    return hard if hard != resource.RLIM_INFINITY else 1 << 20
