"""Which positions of a call are new: the one loop of history that every position goes through."""

from collections.abc import Callable, Sequence

from majung.backends.embedded import history_codec as codec
from majung.backends.embedded.history_codec import Chunk
from majung.backends.embedded.history_rows import Arrived
from majung.positions.model import StoredPosition


class Session(Chunk):
    """What the file remembers of a rider's session: the newest positions, and the highest seq of all.

    A higher seq is new without a look-up, which is nearly every position.
    """

    last_seq: int = -1


SessionOf = Callable[[str, str, str], Session]  # rider, session, door of a session that is seen first now
SeqsOf = Callable[[str, str], set[int]]  # rider, session: every seq that is stored


class Selection:
    """The positions of one call that are new, until they are stored; `undo` when they could not be."""

    def __init__(self, hour_ms: int, session: SessionOf, seqs: SeqsOf) -> None:
        self.sessions: list[Session] = []
        self.arrived: list[Arrived] = []
        self._hour_ms = hour_ms
        self._session = session
        self._seqs = seqs
        self._before: list[tuple[Session, int]] = []
        self._looked_up: dict[tuple[str, str], set[int]] = {}

    def take(self, positions: Sequence[StoredPosition]) -> list[bool]:
        """Which identities are new; these are among `arrived`. The hottest loop of history."""
        flags: list[bool] = []
        hour_ms, session_of, encode = self._hour_ms, self._session, codec.encode
        for stored in positions:
            position = stored.position
            rider_id, session_id, seq = position.rider_id, position.session_id, position.seq
            session = session_of(rider_id, session_id, position.door)
            new = seq > session.last_seq
            if new:
                self._before.append((session, session.last_seq))
                session.last_seq = seq
            elif seq not in (known := self._known(rider_id, session_id)):
                known.add(seq)
                new = True
            flags.append(new)
            if new:
                self.sessions.append(session)
                row = (rider_id, session_id, position.door, encode(stored, hour_ms), position.tags)
                self.arrived.append(row)
        return flags

    def _known(self, rider_id: str, session_id: str) -> set[int]:
        known = self._looked_up.get((rider_id, session_id))
        if known is None:
            known = self._looked_up[rider_id, session_id] = self._seqs(rider_id, session_id)
        # What this call has brought before is not in the file yet.
        known.update(
            codec.seq_of(row[3]) for row in self.arrived if row[0] == rider_id and row[1] == session_id
        )
        return known

    def undo(self) -> None:
        """Remember again what was before."""
        for session, last_seq in reversed(self._before):
            session.last_seq = last_seq
