// Numbers, times and lengths as people read them, in the language of the page.

import { i18n } from "./index.svelte";

const formats = new Map<string, Intl.NumberFormat>();

/** `decimal(1234.56, 1)` → "1,234.6". */
export function decimal(value: number, digits = 0): string {
  const key = `${i18n.language}${digits}`;
  let format = formats.get(key);
  if (!format) {
    format = new Intl.NumberFormat(i18n.language, { maximumFractionDigits: digits, minimumFractionDigits: digits });
    formats.set(key, format);
  }
  return format.format(value);
}

/** Short: 950 → "950", 12_345 → "12.3K" (ko: "1.2만"). */
export function compact(value: number): string {
  if (Math.abs(value) < 10_000) return decimal(value, 0);
  return new Intl.NumberFormat(i18n.language, { notation: "compact", maximumFractionDigits: 1 }).format(value);
}

/** A rate: one digit below ten, none above. */
export const rate = (value: number) => (value > 0 && value < 10 ? decimal(value, 1) : compact(value));

/** 75_000 → "1 min 15 s"; at most two units. */
export function duration(ms: number): string {
  const t = i18n.t.time;
  const seconds = Math.max(0, Math.round(ms / 1000));
  const units: [number, string][] = [
    [Math.floor(seconds / 86400), t.d],
    [Math.floor((seconds % 86400) / 3600), t.h],
    [Math.floor((seconds % 3600) / 60), t.min],
    [seconds % 60, t.s],
  ];
  const space = i18n.language === "ko" ? "" : " ";
  const first = units.findIndex(([n]) => n > 0);
  if (first < 0) return `0${space}${t.s}`;
  return units
    .slice(first, first + 2)
    .filter(([n]) => n > 0)
    .map(([n, unit]) => `${n}${space}${unit}`)
    .join(" ");
}

/** One unit only, for lists: "12 s ago". */
export function ago(ms: number): string {
  const t = i18n.t.time;
  if (ms < 2000) return t.justNow;
  const seconds = Math.round(ms / 1000);
  const space = i18n.language === "ko" ? "" : " ";
  if (seconds < 60) return t.ago(`${seconds}${space}${t.s}`);
  if (seconds < 3600) return t.ago(`${Math.floor(seconds / 60)}${space}${t.min}`);
  if (seconds < 86400) return t.ago(`${Math.floor(seconds / 3600)}${space}${t.h}`);
  return t.ago(`${Math.floor(seconds / 86400)}${space}${t.d}`);
}

/** Metres: "85 m", "1.2 km". */
export function length(metres: number): string {
  if (metres < 1000) return `${decimal(metres, metres < 10 ? 1 : 0)} m`;
  return `${decimal(metres / 1000, metres < 100_000 ? 1 : 0)} km`;
}

/** Metres a second, shown as km/h. */
export const speed = (mps: number) => `${decimal(mps * 3.6, 0)} km/h`;

/** Milliseconds: "8.4 ms", "1.2 s". */
export const milliseconds = (ms: number) =>
  ms < 1000 ? `${decimal(ms, ms < 10 ? 1 : 0)} ms` : `${decimal(ms / 1000, 1)} s`;

/** Wall clock, with the date when it is not today. */
export function clock(ms: number): string {
  const date = new Date(ms);
  const today = date.toDateString() === new Date().toDateString();
  const time = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" } as const;
  return new Intl.DateTimeFormat(i18n.language, today ? time : { month: "short", day: "numeric", ...time }).format(date);
}

/** The direction of a heading: "NE", "북동". */
export const compass = (degrees: number) => i18n.t.compass[Math.round((((degrees % 360) + 360) % 360) / 45) % 8] ?? "";
