// When it comes, in words.

import { clock } from "../ui/now.svelte";
import type { Eta } from "./types";
import { hour, words } from "./words.svelte";

/** "12:34 – 12:41 도착 예정"; one time when the interval is within a minute. */
export function arrival({ at_ms, earliest_ms, latest_ms }: Eta): string {
  return words.w.follow.arriving(hour(earliest_ms ?? at_ms), hour(latest_ms ?? at_ms));
}

/** The interval alone: "12:34 – 12:41". */
export const interval = ({ at_ms, earliest_ms, latest_ms }: Eta) => `${hour(earliest_ms ?? at_ms)} – ${hour(latest_ms ?? at_ms)}`;

/** Minutes from now, never below 0. */
export const minutesLeft = ({ at_ms }: Eta) => Math.max(0, Math.round((at_ms - clock.now) / 60_000));
