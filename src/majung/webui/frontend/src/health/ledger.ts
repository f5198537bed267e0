// The loss ledger: sums that must close (observe/ledger.py).

import type { Stats } from "../api/types";

export interface Ledger {
  closes: boolean;
  /** Positions that no sum accounts for. */
  open: number;
}

/** The server checks its own sums on values of one moment; the door's counters are checked here as well. */
export function ledgerOf(stats: Stats): Ledger {
  const door = stats.received - stats.accepted - stats.quarantined - stats.refused - stats.pending;
  const others = stats.ledger_errors.reduce((sum, { difference }) => sum + Math.abs(difference), 0);
  const open = others || Math.abs(door);
  return { closes: open === 0, open };
}
