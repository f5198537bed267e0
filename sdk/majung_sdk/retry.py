"""When to try again: exponential back-off with full jitter, and slowly when the server said no.

Full jitter (a pause anywhere between 0 and the bound) spreads a crowd of devices that lost the same
server evenly: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ (M. Brooker).
"""

import random
from dataclasses import dataclass

# Trying again soon cannot help: the credential or the client has to change first.
_REFUSALS = frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED", "UNIMPLEMENTED", "INVALID_ARGUMENT"})


@dataclass(frozen=True)
class Problem:
    """Something the app may want to show. `code` is a gRPC status name, or BUFFER for the disk.

    `permanent`: it will not mend itself; the SDK keeps trying, slowly, and keeps the positions.
    """

    code: str
    detail: str
    permanent: bool = False


@dataclass(frozen=True)
class Retry:
    """How long to wait, in seconds."""

    first_s: float = 0.5
    longest_s: float = 30.0
    refused_s: float = 60.0
    ack_timeout_s: float = 20.0

    def pause_s(self, failures: int, refused: bool = False) -> float:
        """The pause after `failures` (1, 2, …) calls in a row that brought no acknowledgement."""
        if refused:
            return random.uniform(0.5, 1.0) * self.refused_s  # noqa: S311 - jitter, not a secret
        bound = min(self.longest_s, self.first_s * 2.0 ** min(failures - 1, 30))
        return random.uniform(0.0, bound)  # noqa: S311


def is_refusal(code: str) -> bool:
    """Whether a gRPC status says that trying again soon cannot help."""
    return code in _REFUSALS
