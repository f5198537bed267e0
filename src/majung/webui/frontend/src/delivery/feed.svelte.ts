// The orders that this account may see, kept current over one WebSocket that mends itself.
//
// A snapshot comes first, then whole orders; of two the higher version is kept, whatever way it came, so that
// an answer to a command and the stream cannot set each other back.

import { Line } from "../api/line.svelte";
import { network } from "../api/network.svelte";
import { deliveryApi } from "./api";
import { FINAL, type Eta, type Order, type RiderPlace } from "./types";

type Message =
  | { type: "snapshot"; orders: Order[]; complete: boolean }
  | { type: "order"; order: Order }
  | { type: "left"; order_id: string }
  | { type: "rider"; order_id: string; position: RiderPlace }
  | ({ type: "eta"; order_id: string } & Eta)
  | Beside;

/** What this page does not know by itself: resync, resumed, error, notice. */
interface Beside {
  type: "resync" | "resumed" | "error" | "notice";
}

const POLL_MS = 5000;
const MOST_KEPT = 2000;
const SETTLED_MS = 1000;

/** Where the rider was, and when by this device's clock. */
export interface Seen extends RiderPlace {
  seen_ms: number;
}

class OrderFeed {
  byId = $state.raw<ReadonlyMap<string, Order>>(new Map());
  riders = $state.raw<ReadonlyMap<string, Seen>>(new Map());
  etas = $state.raw<ReadonlyMap<string, Eta>>(new Map());
  loaded = $state(false);
  /** False: there are more open orders than the server sends at once. */
  complete = $state(true);
  failure = $state.raw<unknown>(null);
  /** Newest first. */
  list = $derived([...this.byId.values()].sort((a, b) => b.placed_at_ms - a.placed_at_ms));
  #line = new Line("/v1/orders/live");
  #live = false;
  #poll: ReturnType<typeof setInterval> | undefined;
  #letGo = () => undefined as void;
  #hearers = new Set<(message: Beside) => void>();

  get connected(): boolean {
    return this.#line.connected;
  }

  start(): void {
    void this.refresh();
    this.#letGo = this.#line.hold({ heard: (message) => this.#receive(message as Message) });
    this.#poll = setInterval(() => network.online && !this.connected && void this.refresh(), POLL_MS);
  }

  stop(): void {
    clearInterval(this.#poll);
    this.#letGo();
    this.loaded = false;
    this.byId = this.riders = this.etas = new Map();
  }

  async refresh(): Promise<void> {
    try {
      this.put(await deliveryApi.orders());
      this.failure = null;
      this.loaded = true;
    } catch (error) {
      this.failure = error;
    }
  }

  /** Take in what is newer than what is known. */
  put(orders: Order[]): void {
    const next = new Map(this.byId);
    for (const order of orders) {
      const known = next.get(order.order_id);
      if ((known?.version ?? 0) >= order.version) continue;
      next.set(order.order_id, order);
      // Of another rider one wants to know where that one is, not where the last one was.
      if (known && known.rider_id !== order.rider_id) this.riders = without(this.riders, order.order_id);
    }
    for (const id of [...next.keys()].sort().slice(0, Math.max(0, next.size - MOST_KEPT))) next.delete(id);
    this.byId = next;
  }

  /** The stream tells of every new one; this asks for the one that holds now. */
  async askEta(order: Order): Promise<void> {
    const found = await deliveryApi.eta(order).catch(() => null); // an order that has just ended has none
    if (found) this.putEta(order.order_id, found);
  }

  #receive(message: Message): void {
    if (message.type === "snapshot") this.#snapshot(message.orders, message.complete);
    else if (message.type === "order") this.put([message.order]);
    else if (message.type === "left") this.#drop(({ order_id }) => order_id === message.order_id);
    else if (message.type === "rider") this.sawRider(message.order_id, message.position);
    else if (message.type === "eta") this.putEta(message.order_id, message);
    else for (const hear of this.#hearers) hear(message);
  }

  /** Messages of other parts that come the same way. Returns how to stop. */
  hear(type: string, take: (message: Beside) => void): () => void {
    const hear = (message: Beside) => message.type === type && take(message);
    this.#hearers.add(hear);
    return () => this.#hearers.delete(hear);
  }

  /** What the server heard late is as old as it was then; from there on this device's clock counts. */
  sawRider(order_id: string, position: RiderPlace): void {
    const { device_time_ms = 0, received_at_ms = 0 } = position;
    const age_ms = device_time_ms && received_at_ms ? Math.max(0, received_at_ms - device_time_ms) : 0;
    const waited_ms = this.#live ? 0 : Math.max(0, Date.now() - received_at_ms);
    const seen = { ...position, seen_ms: Date.now() - Math.max(age_ms, waited_ms) };
    this.riders = new Map(this.riders).set(order_id, seen);
  }

  putEta(order_id: string, eta: Eta): void {
    if ((this.etas.get(order_id)?.computed_at_ms ?? 0) > (eta.computed_at_ms ?? 0)) return;
    this.etas = new Map(this.etas).set(order_id, eta);
  }

  /** The open orders. What was open here and is not among them has ended meanwhile: that is read after it. */
  #snapshot(orders: Order[], complete: boolean): void {
    this.complete = complete;
    // Positions that come with the snapshot are the last that were heard, however long ago.
    this.#live = false;
    setTimeout(() => (this.#live = true), SETTLED_MS);
    const open = new Set(orders.map(({ order_id }) => order_id));
    if (complete) this.#drop(({ order_id, state }) => !FINAL.has(state) && !open.has(order_id));
    this.put(orders);
    void this.refresh();
  }

  #drop(which: (order: Order) => boolean): void {
    this.byId = new Map([...this.byId].filter(([, order]) => !which(order)));
  }
}

function without<T>(map: ReadonlyMap<string, T>, key: string): ReadonlyMap<string, T> {
  const next = new Map(map);
  next.delete(key);
  return next;
}

export const feed = new OrderFeed();
