// What this account was told: the newest from the server, and each as it comes over the feed of orders.

import { get, request } from "../../api/client";
import { toasts } from "../../ui/toasts.svelte";
import { feed } from "../feed.svelte";
import { chime } from "./chime.svelte";
import { textOf } from "./words.svelte";

export interface Notice {
  id: number;
  kind: string;
  order_id: string;
  at_ms: number;
  read: boolean;
  title: string;
  body: string;
  params: Record<string, string | number>;
}

interface Page {
  notices: Notice[];
  unread: number;
}

const PAGE = 30;
const MOST_KEPT = 300;
// The page shows these by itself, and larger.
const SHOWN_ANYWAY: ReadonlySet<string> = new Set(["offer", "arriving"]);

class Notices {
  /** Newest first. */
  list = $state.raw<Notice[]>([]);
  unread = $state(0);
  complete = $state(false);
  failure = $state.raw<unknown>(null);
  #stop: (() => void) | null = null;
  #generation = 0;
  #said = "";

  start(): void {
    this.#stop = feed.hear("notice", (message) => this.#came(message as unknown as Notice));
    void this.refresh();
  }

  stop(): void {
    this.#generation += 1;
    this.#stop?.();
    this.#stop = null;
    this.list = [];
    this.unread = 0;
    this.complete = false;
  }

  /** The newest; also after a connection was gone. */
  async refresh(): Promise<void> {
    await this.#read({ limit: PAGE });
  }

  async more(): Promise<void> {
    const last = this.list.at(-1);
    if (last) await this.#read({ limit: PAGE, before: last.id });
  }

  async #read(query: { limit: number; before?: number }): Promise<void> {
    const generation = this.#generation;
    try {
      const page = await get<Page>("/v1/notifications", query);
      if (generation !== this.#generation) return;
      this.failure = null;
      this.unread = page.unread;
      if (query.before !== undefined || this.list.length === 0) this.complete = page.notices.length < PAGE;
      this.#put(page.notices);
    } catch (error) {
      if (generation === this.#generation) this.failure = error;
    }
  }

  #put(found: Notice[]): void {
    const byId = new Map(this.list.map((notice) => [notice.id, notice]));
    for (const notice of found) byId.set(notice.id, notice);
    this.list = [...byId.values()].sort((a, b) => b.id - a.id).slice(0, MOST_KEPT);
  }

  #came(notice: Notice): void {
    if (this.list.some(({ id }) => id === notice.id)) return;
    this.#put([notice]);
    this.unread += 1;
    if (!SHOWN_ANYWAY.has(notice.kind) && !isOpen(notice.order_id)) this.#say(textOf(notice).join(" · "));
    if (notice.kind !== "offer") chime.ring();
  }

  /** One at a time: several at once would cover the page that they are about. */
  #say(text: string): void {
    const last = toasts.list.find((toast) => toast.text === this.#said);
    if (last) toasts.drop(last.id);
    this.#said = text;
    toasts.say(text);
  }

  /** Everything that is shown has been seen. */
  async seen(): Promise<void> {
    const newest = this.list[0];
    if (!newest || this.unread === 0) return;
    try {
      const body = JSON.stringify({ up_to: newest.id });
      const answer = await request("/v1/notifications/read", { method: "POST", headers: { "Content-Type": "application/json" }, body });
      this.unread = ((await answer.json()) as { unread: number }).unread;
      this.list = this.list.map((notice) => (notice.id <= newest.id ? { ...notice, read: true } : notice));
    } catch {
      // They stay unread, and are marked the next time.
    }
  }
}

/** The customer looks at this very order, which says it larger. */
const isOpen = (order: string) => location.hash === `#/order/${encodeURIComponent(order)}`;

export const notices = new Notices();
