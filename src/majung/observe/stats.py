"""One snapshot of how the server is doing: what `/v1/stats`, `/metrics` and `/readyz` are made of."""

import msgspec

from majung.observe.ledger import LedgerError


class Snapshot(msgspec.Struct, frozen=True):
    """Counters are totals; see `ledger.py` for how they add up.

    `received` to `refused` and the acknowledgements count from the start of the process, `appended` to
    `marked` from the first start of the data folder.
    """

    now_ms: int
    riders: int
    viewers: int
    device_streams: int
    received: int
    accepted: int
    quarantined: int
    refused: int
    pending: int
    appended: int
    processed: int
    skipped: int
    deduplicated: int
    undecodable: int
    stored: int
    shown: int
    late: int
    marked: int
    erased: int
    lag_records: int
    lag_s: float
    ack_p99_ms: float
    ack_count: int
    ack_ms_sum: float
    rebuild_s: float
    step_seconds: dict[str, float]
    hub: dict[str, int]
    task_deaths: dict[str, int]
    tasks_down: list[str]
    ledger_errors: list[LedgerError]
    damage: list[str]
    waiting_for_storage: str
    outbox_records: int = 0
    outbox_s: float = 0.0
    outbox_published: int = 0
    eta_open: int = 0
    eta_late: int = 0
    eta_outcomes: dict[str, int] = {}
    routes: dict[str, int] = {}


class Stats(Snapshot, frozen=True, kw_only=True):
    """A snapshot with the rates of its counters, per second."""

    rates: dict[str, float]
