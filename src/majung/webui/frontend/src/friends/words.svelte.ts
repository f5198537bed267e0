// The words of the friends page, in a chunk of their own; and the sentences that say who sees what.

import { i18n } from "../i18n/index.svelte";
import { en, type Words } from "./en";
import { ko } from "./ko";
import type { Seen } from "./types";
import { cellSize } from "./units.svelte";

const catalogues: Record<"en" | "ko", Words> = { en, ko };

class Catalogue {
  w = $derived<Words>(catalogues[i18n.language]);
}

/** `friendWords.w.title`; follows the language of the page. */
export const friendWords = new Catalogue();

/** The time of day, with the day when it is another one. */
export function moment(ms: number): string {
  const date = new Date(ms);
  const time = { hour: "numeric", minute: "2-digit" } as const;
  const today = date.toDateString() === new Date().toDateString();
  return new Intl.DateTimeFormat(i18n.language, today ? time : { month: "short", day: "numeric", ...time }).format(date);
}

export const day = (ms: number) => new Intl.DateTimeFormat(i18n.language, { year: "numeric", month: "long", day: "numeric" }).format(ms);

/** "Bora sees an area of about 5 km that you are in, until 23:00." Without a name: they see. */
export function sentence(name: string, seen: Pick<Seen, "mode" | "precision" | "until_ms"> & { history: boolean }): string {
  const w = friendWords.w.friend;
  const size = cellSize(seen.precision);
  const { off, exact, blurred } = name ? { off: w.sees.off(name), exact: w.sees.exact(name), blurred: w.sees.blurred(name, size) } : { ...w.seesMany, blurred: w.seesMany.blurred(size) };
  if (seen.mode === "off") return `${off}.`;
  const what = seen.mode === "exact" ? exact : blurred;
  return `${what}${seen.history ? w.withHistory : ""}${seen.until_ms ? w.until(moment(seen.until_ms)) : ""}.`;
}
