// The figures of the server, asked for once a second, with five minutes of the past for the charts.

import { api } from "../api/client";
import type { Stats } from "../api/types";
import { live } from "../live/live.svelte";

const KEPT = 300;
const ANSWER_WITHIN_MS = 8000;

/** One row of the past; `null` where no figures came. */
export interface Sample {
  at_s: number;
  received: number | null;
  ack: number | null;
  lag: number | null;
  riders: number | null;
  quarantined: number | null;
}

class Health {
  stats = $state.raw<Stats | null>(null);
  failed = $state(false);
  forbidden = $state(false);
  samples = $state.raw<Sample[]>([]);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #running = false;
  /** Totals a minute ago and since, for the quarantined a minute. */
  #quarantined: { at_ms: number; total: number }[] = [];

  start(): void {
    this.#running = true;
    void this.#ask();
  }

  stop(): void {
    this.#running = false;
    clearTimeout(this.#timer);
    this.stats = null;
    this.samples = [];
    this.#quarantined = [];
  }

  get quarantinedPerMinute(): number | null {
    return this.samples.at(-1)?.quarantined ?? null;
  }

  async #ask(): Promise<void> {
    try {
      const stats = await api.stats(AbortSignal.timeout(ANSWER_WITHIN_MS));
      live.riders.clockOffsetMs = stats.now_ms - Date.now();
      this.stats = stats;
      this.failed = this.forbidden = false;
      this.#sample(stats);
    } catch (error) {
      this.failed = true;
      this.forbidden = (error as { status?: number }).status === 403;
      this.#push({ at_s: Date.now() / 1000, received: null, ack: null, lag: null, riders: null, quarantined: null });
    }
    const pause = this.forbidden ? 60_000 : document.hidden ? 5000 : 1000;
    if (this.#running) this.#timer = setTimeout(() => void this.#ask(), pause);
  }

  #sample(stats: Stats): void {
    this.#push({
      at_s: stats.now_ms / 1000,
      received: stats.rates["received_per_s"] ?? 0,
      ack: stats.ack_p99_ms,
      lag: stats.lag_s,
      riders: stats.riders,
      quarantined: this.#perMinute(stats),
    });
  }

  #push(sample: Sample): void {
    this.samples = [...this.samples, sample].slice(-KEPT);
  }

  /** How many in the last minute (scaled up while less than that is known). */
  #perMinute({ now_ms, quarantined }: Stats): number {
    const past = this.#quarantined;
    if ((past.at(-1)?.total ?? 0) > quarantined) past.length = 0; // the server was restarted
    past.push({ at_ms: now_ms, total: quarantined });
    while ((past[1]?.at_ms ?? now_ms) <= now_ms - 60_000) past.shift();
    const first = past[0] ?? { at_ms: now_ms, total: quarantined };
    const span = now_ms - first.at_ms;
    return span < 1000 ? 0 : ((quarantined - first.total) * 60_000) / Math.max(span, 10_000);
  }
}

export const health = new Health();
