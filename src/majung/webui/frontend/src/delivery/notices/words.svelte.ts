// The words of notices, in the language of the page; made of kind and params, as the server makes its own.

import { length } from "../../i18n/format";
import { i18n } from "../../i18n/index.svelte";
import { shortId, won } from "../words.svelte";
import { en, type NoticeWords } from "./en";
import { ko } from "./ko";
import type { Notice } from "./notices.svelte";

const catalogues: Record<"en" | "ko", NoticeWords> = { en, ko };

class Catalogue {
  w = $derived<NoticeWords>(catalogues[i18n.language]);
}

export const noticeWords = new Catalogue();

/** Title and body. A kind that this page does not know yet is told in the server's words. */
export function textOf(notice: Notice): [string, string] {
  const { params } = notice;
  const reason = String(params["reason"] ?? "");
  const words = noticeWords.w.kinds[notice.kind];
  if (!words) return [notice.title, notice.body];
  return words({
    store: String(params["store"] ?? ""),
    number: shortId(notice.order_id),
    minutes: Number(params["minutes"] ?? 0),
    metres: Number(params["within_m"] ?? 100),
    reason: reason && ` · ${reason}`,
    money: won(Number(params["total_krw"] ?? 0)),
    distance: length(Number(params["distance_m"] ?? 0)),
  });
}
