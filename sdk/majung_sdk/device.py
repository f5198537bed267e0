"""One rider with a buffer file and a connection of its own: what a phone app uses."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from majung_sdk.fleet import Fleet
from majung_sdk.reporter import Reporter
from majung_sdk.retry import Problem, Retry
from majung_sdk.totals import Totals
from majung_sdk.uplink import Token


class Device:
    """Reports for one rider.

    Example:
        async with Device("majung.example:50051", token, "rider-7", Path("positions.db")) as device:
            device.report(37.4979, 127.0276, accuracy_m=8.0)
            await device.drained()
    """

    def __init__(
        self,
        target: str,
        token: Token,
        rider_id: str,
        buffer: Path,
        *,
        root_certificates: bytes | None = None,
        tls: bool | None = None,
        window: int = 256,
        max_buffered: int = 100_000,
        sync: bool = True,
        retry: Retry | None = None,
        on_acked: Callable[[Sequence[int]], None] | None = None,
        on_problem: Callable[[Problem], None] | None = None,
    ) -> None:
        """See `Fleet` for the arguments."""
        self.rider_id = rider_id
        self._fleet = Fleet(
            target,
            token,
            buffer,
            root_certificates=root_certificates,
            tls=tls,
            connections=1,
            window=window,
            max_buffered=max_buffered,
            sync=sync,
            linger_s=0.0,
            retry=retry,
            on_acked=None if on_acked is None else (lambda _, seqs: on_acked(seqs)),
            on_problem=on_problem,
        )
        self._reporter: Reporter | None = None

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Open the buffer and begin to send what it holds. Raises `BufferInUse`."""
        await self._fleet.open()
        try:
            [self._reporter] = await self._fleet.add([self.rider_id])
        except BaseException:
            await self._fleet.close()
            raise

    def report(
        self,
        latitude: float,
        longitude: float,
        *,
        device_time_ms: int | None = None,
        accuracy_m: float | None = None,
        speed_mps: float | None = None,
        heading_deg: float | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> int:
        """Take one fix; returns its seq. See `Reporter.report`."""
        return self._opened.report(
            latitude,
            longitude,
            device_time_ms=device_time_ms,
            accuracy_m=accuracy_m,
            speed_mps=speed_mps,
            heading_deg=heading_deg,
            tags=tags,
        )

    @property
    def session_id(self) -> str:
        """The session of the buffer file."""
        return self._opened.session_id

    @property
    def online(self) -> bool:
        """Whether it may use the network; set it when the system says that reception comes or goes."""
        return self._opened.online

    @online.setter
    def online(self, value: bool) -> None:
        self._opened.online = value

    @property
    def connected(self) -> bool:
        """Whether the call that is open has brought an acknowledgement."""
        return self._opened.uplink.connected

    @property
    def buffered(self) -> int:
        """How many positions are on disk and not acknowledged."""
        return self._opened.buffered

    @property
    def totals(self) -> Totals:
        """Counters since start."""
        return self._fleet.totals

    async def saved(self) -> None:
        """Return when everything reported so far is on disk."""
        await self._opened.saved()

    async def drained(self) -> None:
        """Return when everything reported so far has been acknowledged."""
        await self._opened.drained()

    async def close(self) -> None:
        """Stop; what is not acknowledged stays on disk for the next time."""
        await self._fleet.close()

    @property
    def _opened(self) -> Reporter:
        if self._reporter is None:
            raise RuntimeError("open the device first: async with Device(...)")
        return self._reporter
