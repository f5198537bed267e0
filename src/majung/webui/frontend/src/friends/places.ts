// What a place of a friend says.

import { ago } from "../i18n/format";
import type { Place, Precision } from "./types";
import { cellSize } from "./units.svelte";
import { friendWords } from "./words.svelte";

/** Not heard of for so long: shown, but greyed. */
export const OLD_MS = 300_000;

/** How large the square is that a blurred friend is in: "5 km". */
export const sizeOf = ({ cell = "" }: Place): string => cellSize(cell.length as Precision);

/** How long ago that was; of a square only about, since its time is rounded. */
export const heard = ({ bounds }: Place, age_ms: number): string =>
  bounds && age_ms > 60_000 ? friendWords.w.list.around(ago(age_ms)) : ago(age_ms);
