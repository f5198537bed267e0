// How a person is drawn: initials on a colour that stays the same.

/** White letters stand out on each of them (4.5 : 1 or more). */
const COLOURS = ["#b3261e", "#c2410c", "#a16207", "#4d7c0f", "#15803d", "#0f766e", "#0e7490", "#1d4ed8", "#4338ca", "#6d28d9", "#a21caf", "#be185d"];

export function colourOf(person_id: string): string {
  let sum = 7;
  for (const letter of person_id) sum = (sum * 31 + letter.charCodeAt(0)) >>> 0;
  return COLOURS[sum % COLOURS.length] ?? "#1d4ed8";
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
