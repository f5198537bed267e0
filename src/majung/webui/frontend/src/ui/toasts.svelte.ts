// Short messages at the edge of the page: at most four, gone after a while.

import { ApiError } from "../api/client";
import { i18n } from "../i18n/index.svelte";

export interface Toast {
  id: number;
  text: string;
  kind: "info" | "good" | "bad";
  about: string;
}

const MOST = 4;
const SHOWN_MS = 6000;

class Toasts {
  list = $state<Toast[]>([]);
  #next = 1;

  /** Of what is `about` the same, the newest stands. */
  say(text: string, kind: Toast["kind"] = "info", about = ""): void {
    if (this.list.some((toast) => toast.text === text)) return;
    const id = this.#next++;
    const others = this.list.filter((toast) => !about || toast.about !== about);
    this.list = [...others, { id, text, kind, about }].slice(-MOST);
    setTimeout(() => this.drop(id), SHOWN_MS);
  }

  drop(id: number): void {
    this.list = this.list.filter((toast) => toast.id !== id);
  }

  failed(error: unknown): void {
    this.say(explain(error), "bad");
  }
}

export const toasts = new Toasts();

/** What went wrong, in the language of the page. */
export function explain(error: unknown): string {
  const t = i18n.t.errors;
  if (!(error instanceof ApiError)) return t.failed(String(error));
  if (error.status === 0) return t.unreachable;
  if (error.status === 403) return t.forbidden;
  if (error.status === 404) return error.detail || t.notFound;
  if (error.status === 503 || error.status === 429) return t.busy;
  return t.failed(error.detail || error.title);
}
