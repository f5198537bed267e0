// The orders that this account may see, kept current over one WebSocket that mends itself.
//
// A snapshot comes first, then whole orders; of two the higher version is kept, whatever way it came, so that
// an answer to a command and the stream cannot set each other back.

import { session } from "../api/session.svelte";
import { deliveryApi } from "./api";
import { network, onNetwork } from "./network.svelte";
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

const BACKOFF_MS = [500, 1000, 2000, 4000, 8000];
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
  connected = $state(false);
  loaded = $state(false);
  /** False: there are more open orders than the server sends at once. */
  complete = $state(true);
  failure = $state.raw<unknown>(null);
  /** Newest first. */
  list = $derived([...this.byId.values()].sort((a, b) => b.placed_at_ms - a.placed_at_ms));
  #socket: WebSocket | null = null;
  #running = false;
  #failures = 0;
  #live = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #poll: ReturnType<typeof setInterval> | undefined;
  #unwatch = () => undefined as void;
  #hearers = new Set<(message: Beside) => void>();

  start(): void {
    this.#running = true;
    void this.refresh();
    void this.#connect();
    this.#poll = setInterval(() => network.online && !this.connected && void this.refresh(), POLL_MS);
    this.#unwatch = onNetwork(
      () => this.#hangUp(),
      () => void this.#connect(),
    );
  }

  stop(): void {
    this.#running = false;
    this.#unwatch();
    clearInterval(this.#poll);
    this.#hangUp();
    this.loaded = false;
    this.byId = this.riders = this.etas = new Map();
  }

  #hangUp(): void {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    this.connected = false;
    socket?.close(1000);
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

  async #connect(): Promise<void> {
    let token: string;
    try {
      token = await session.bearer();
    } catch {
      if (session.tokens) this.#retry();
      return;
    }
    if (!this.#running) return;
    this.#hangUp();
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/v1/orders/live?access_token=${encodeURIComponent(token)}`);
    this.#socket = socket;
    socket.onopen = () => {
      if (this.#socket !== socket) return;
      this.connected = true;
      this.#failures = 0;
    };
    socket.onmessage = (event) => this.#receive(JSON.parse(String(event.data)) as Message);
    socket.onclose = ({ code }) => {
      if (this.#socket !== socket) return;
      this.connected = false;
      if (code === 4401) void session.refresh().catch(() => undefined);
      this.#retry();
    };
  }

  #retry(): void {
    if (!this.#running || !session.tokens) return;
    const longest = BACKOFF_MS[Math.min(this.#failures, BACKOFF_MS.length - 1)] ?? 8000;
    this.#failures += 1;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#connect(), longest * (0.5 + Math.random() / 2));
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
