// What a place of a friend says.

import type { Place, Precision } from "./types";
import { cellSize } from "./units.svelte";

/** Not heard of for so long: shown, but greyed. */
export const OLD_MS = 300_000;

/** How large the square is that a blurred friend is in: "5 km". */
export const sizeOf = ({ cell = "" }: Place): string => cellSize(cell.length as Precision);
