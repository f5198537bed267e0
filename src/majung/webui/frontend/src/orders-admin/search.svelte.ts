// What the server finds goes into the feed, where it stays current; the page then filters the feed. So an order
// of last month is found as well, and one that comes in meanwhile shows up by itself.

import { deliveryApi } from "../delivery/api";
import { feed } from "../delivery/feed.svelte";
import { STUCK_SOONEST_MIN, type Kind } from "./filter.svelte";

const PAGE = 100;
const TYPING_MS = 250;

type Query = Record<string, string | number | undefined>;

const OF_KIND: Record<Kind, Query> = {
  active: { open: "true" },
  attention: { open: "true", stuck_minutes: STUCK_SOONEST_MIN },
  late: { open: "true" },
  unassigned: { open: "true" },
  all: {},
};

class Search {
  working = $state(false);
  failure = $state.raw<unknown>(null);
  more = $state(false);
  #query: Query = {};
  #before: string | null = null;
  #stop = new AbortController();

  /** Ask anew, a moment after the last key; gives the way to take that back. */
  want(kind: Kind, state: string, text: string): () => void {
    this.#stop.abort();
    this.#query = { ...OF_KIND[kind], state, q: text.trim(), limit: PAGE };
    const timer = setTimeout(() => void this.#page(), text ? TYPING_MS : 0);
    return () => clearTimeout(timer);
  }

  next = (): Promise<void> => this.#page(this.#before ?? undefined);

  async #page(before?: string): Promise<void> {
    const stop = (this.#stop = new AbortController());
    this.working = true;
    this.failure = null;
    try {
      const { orders, next_before } = await deliveryApi.page({ ...this.#query, before }, stop.signal);
      feed.put(orders);
      this.#before = next_before;
      this.more = next_before !== null;
    } catch (error) {
      if (!stop.signal.aborted) this.failure = error;
    } finally {
      if (this.#stop === stop) this.working = false;
    }
  }
}

export const search = new Search();
