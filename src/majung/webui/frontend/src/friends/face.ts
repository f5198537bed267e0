// How a person is drawn: initials on a colour that stays the same.

/** White letters stand out on each of them (4.5 : 1 or more). */
const COLOURS = ["#b3261e", "#c2410c", "#a16207", "#4d7c0f", "#15803d", "#0f766e", "#0e7490", "#1d4ed8", "#4338ca", "#6d28d9", "#a21caf", "#be185d"];

function placeOf(person_id: string): number {
  let sum = 7;
  for (const letter of person_id) sum = (sum * 31 + letter.charCodeAt(0)) >>> 0;
  return sum % COLOURS.length;
}

export const colourOf = (person_id: string): string => COLOURS[placeOf(person_id)] ?? "";

/** Everybody's own colour, and none twice while there are enough. */
export function coloursOf(ids: readonly string[]): ReadonlyMap<string, string> {
  const taken = new Set<number>();
  const found = new Map<string, string>();
  for (const id of [...ids].sort()) {
    if (taken.size === COLOURS.length) taken.clear();
    let place = placeOf(id);
    while (taken.has(place)) place = (place + 1) % COLOURS.length;
    taken.add(place);
    found.set(id, COLOURS[place] ?? "");
  }
  return found;
}

const HANGUL = /^[가-힣]+$/;

/** "김보라" → "보라", "Bora Kim" → "BK", "bora" → "B". */
export function initialsOf(name: string): string {
  const words = name.trim().split(/[\s._-]+/).filter(Boolean);
  const [first = "?"] = words;
  if (words.length === 1 && HANGUL.test(first)) return first.length > 2 ? first.slice(-2) : first;
  const letters = words.length > 1 ? [first, words.at(-1) ?? ""] : [first];
  return letters.map((word) => [...word][0]?.toUpperCase() ?? "").join("");
}
