// The orders that this account may see, kept current over one WebSocket that mends itself.
//
// A snapshot comes first, then whole orders; of two the higher version is kept, whatever way it came, so that
// an answer to a command and the stream cannot set each other back.

import { session } from "../api/session.svelte";
import { deliveryApi } from "./api";
import { FINAL, type Eta, type Order, type RiderPlace } from "./types";

type Message =
  | { type: "snapshot"; orders: Order[]; complete: boolean }
  | { type: "order"; order: Order }
  | { type: "left"; order_id: string }
  | { type: "rider"; order_id: string; position: RiderPlace }
  | ({ type: "eta"; order_id: string } & Eta)
  | { type: "resync" | "resumed" | "error" };

const BACKOFF_MS = [500, 1000, 2000, 4000, 8000];
const POLL_MS = 5000;
const MOST_KEPT = 2000;

class OrderFeed {
  byId = $state.raw<ReadonlyMap<string, Order>>(new Map());
  riders = $state.raw<ReadonlyMap<string, RiderPlace>>(new Map());
  etas = $state.raw<ReadonlyMap<string, Eta>>(new Map());
  connected = $state(false);
  loaded = $state(false);
  failure = $state.raw<unknown>(null);
  /** Newest first. */
  list = $derived([...this.byId.values()].sort((a, b) => b.placed_at_ms - a.placed_at_ms));
  #socket: WebSocket | null = null;
  #running = false;
  #failures = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #poll: ReturnType<typeof setInterval> | undefined;

  start(): void {
    this.#running = true;
    void this.refresh();
    void this.#connect();
    this.#poll = setInterval(() => !this.connected && void this.refresh(), POLL_MS);
  }

  stop(): void {
    this.#running = false;
    clearTimeout(this.#timer);
    clearInterval(this.#poll);
    this.#socket?.close(1000);
    this.#socket = null;
    this.connected = this.loaded = false;
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
      if ((next.get(order.order_id)?.version ?? 0) < order.version) next.set(order.order_id, order);
    }
    for (const id of [...next.keys()].sort().slice(0, Math.max(0, next.size - MOST_KEPT))) next.delete(id);
    this.byId = next;
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
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/v1/orders/live?access_token=${encodeURIComponent(token)}`);
    this.#socket = socket;
    socket.onopen = () => {
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
    else if (message.type === "rider") this.riders = new Map(this.riders).set(message.order_id, message.position);
    else if (message.type === "eta") this.etas = new Map(this.etas).set(message.order_id, message);
  }

  /** The open orders. What was open here and is not among them has ended meanwhile: that is read after it. */
  #snapshot(orders: Order[], complete: boolean): void {
    const open = new Set(orders.map(({ order_id }) => order_id));
    if (complete) this.#drop(({ order_id, state }) => !FINAL.has(state) && !open.has(order_id));
    this.put(orders);
    void this.refresh();
  }

  #drop(which: (order: Order) => boolean): void {
    this.byId = new Map([...this.byId].filter(([, order]) => !which(order)));
  }
}

export const feed = new OrderFeed();
