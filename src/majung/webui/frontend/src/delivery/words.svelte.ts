// The words of the delivery pages, in a chunk of their own.

import { i18n } from "../i18n/index.svelte";
import { en, type Words } from "./en";
import { ko } from "./ko";

const catalogues: Record<"en" | "ko", Words> = { en, ko };

class Catalogue {
  w = $derived<Words>(catalogues[i18n.language]);
}

/** `words.w.order.title`; follows the language of the page. */
export const words = new Catalogue();

/** 12_500 → "₩12,500", "12,500원". */
export const won = (krw: number) =>
  i18n.language === "ko" ? `${krw.toLocaleString("ko")}원` : `₩${krw.toLocaleString("en")}`;

/** Hours and minutes of the day; with the date when it is another one. */
export function hour(ms: number): string {
  const date = new Date(ms);
  const today = date.toDateString() === new Date().toDateString();
  const time = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" } as const;
  return new Intl.DateTimeFormat(i18n.language, today ? time : { month: "short", day: "numeric", ...time }).format(date);
}

/** The last characters of an id are what people call it by. */
export const shortId = (id: string) => id.slice(-5).toUpperCase();
