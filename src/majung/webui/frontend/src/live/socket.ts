// The stream of live positions, over one WebSocket that mends itself.
//
// Each subscription remembers the epoch and offset of what it saw last. After a reconnect it asks for what
// it missed; the server sends that, or "resync" and a snapshot. Nothing is lost without being told.

import { session } from "../api/session.svelte";
import type { Area, LivePosition, RiderEvent } from "../api/types";

export type Target = { area: Area } | { riders: string[] } | { fence: string };

interface Subscription {
  target: Target;
  epoch?: string;
  offset?: number;
}

type Message = { id?: string; epoch?: string; offset?: number } & (
  | { type: "snapshot"; positions: LivePosition[] }
  | { type: "positions"; positions: LivePosition[] }
  | { type: "gone"; rider_ids: string[] }
  | { type: "event"; event: RiderEvent }
  | { type: "resync" }
  | { type: "resumed" }
  | { type: "error"; error: { title?: string; detail?: string; status?: number } }
);

export interface Handlers {
  snapshot(id: string, positions: LivePosition[]): void;
  positions(positions: LivePosition[]): void;
  gone(ids: string[]): void;
  event(event: RiderEvent): void;
  error(text: string): void;
  state(state: SocketState, retryAtMs: number): void;
}

export type SocketState = "connecting" | "live" | "reconnecting" | "offline" | "closed";

const BACKOFF_MS = [400, 800, 1500, 3000, 6000, 12_000];
const STEADY_AFTER_MS = 5000;

export class LiveSocket {
  #socket: WebSocket | null = null;
  #subscriptions = new Map<string, Subscription>();
  #failures = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  constructor(private readonly handlers: Handlers) {
    addEventListener("online", this.#online);
    addEventListener("offline", this.#offline);
  }

  open(): void {
    this.handlers.state("connecting", 0);
    void this.#connect();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    removeEventListener("online", this.#online);
    removeEventListener("offline", this.#offline);
    this.#socket?.close(1000);
    this.handlers.state("closed", 0);
  }

  /** Start (or change) a subscription. A changed target starts anew with a snapshot. */
  subscribe(id: string, target: Target): void {
    this.#subscriptions.set(id, { target });
    this.#send({ subscribe: { id, ...target } });
  }

  unsubscribe(id: string): void {
    if (this.#subscriptions.delete(id)) this.#send({ unsubscribe: id });
  }

  has(id: string): boolean {
    return this.#subscriptions.has(id);
  }

  #send(message: unknown): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  async #connect(): Promise<void> {
    let token: string;
    try {
      token = await session.bearer();
    } catch {
      if (session.tokens) this.#retry(); // the server is away; when it said no, the page is signing out
      return;
    }
    if (this.#closed) return;
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/v1/live?access_token=${encodeURIComponent(token)}`);
    this.#socket = socket;
    let openedAt = 0;
    socket.onopen = () => {
      openedAt = performance.now();
      this.handlers.state("live", 0);
      for (const [id, { target, epoch, offset }] of this.#subscriptions) {
        this.#send({ subscribe: { id, ...target, ...(epoch === undefined ? {} : { epoch, offset }) } });
      }
    };
    socket.onmessage = (event) => this.#receive(JSON.parse(String(event.data)) as Message);
    socket.onclose = () => {
      if (this.#socket !== socket || this.#closed) return;
      this.#socket = null;
      if (openedAt && performance.now() - openedAt > STEADY_AFTER_MS) this.#failures = 0;
      this.#retry();
    };
  }

  #retry(): void {
    if (!navigator.onLine) return this.handlers.state("offline", 0);
    const longest = BACKOFF_MS[Math.min(this.#failures, BACKOFF_MS.length - 1)] ?? 0;
    this.#failures += 1;
    const wait = longest * (0.5 + Math.random() / 2); // jitter: a thousand pages do not come back as one
    this.handlers.state("reconnecting", Date.now() + wait);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#connect(), wait);
  }

  #online = (): void => {
    if (this.#socket || this.#closed) return;
    this.#failures = 0;
    clearTimeout(this.#timer);
    this.open();
  };

  #offline = (): void => {
    if (!this.#socket) this.handlers.state("offline", 0);
  };

  #receive(message: Message): void {
    if (message.type === "resync") {
      const subscription = this.#subscriptions.get(message.id ?? "");
      if (subscription) subscription.epoch = subscription.offset = undefined;
      return; // its snapshot follows
    }
    if (message.type === "error") {
      return this.handlers.error(message.error.detail || message.error.title || "");
    }
    this.#remember(message);
    if (message.type === "snapshot") {
      if (this.#subscriptions.has(message.id ?? "")) this.handlers.snapshot(message.id ?? "", message.positions);
    } else if (message.type === "positions") this.handlers.positions(message.positions);
    else if (message.type === "gone") this.handlers.gone(message.rider_ids);
    else if (message.type === "event") this.handlers.event(message.event);
  }

  /** Offsets count the whole stream, so a message without an id moves every subscription on. */
  #remember({ id, epoch, offset }: Message): void {
    if (offset === undefined) return;
    for (const [name, subscription] of this.#subscriptions) {
      if (id !== undefined && id !== name) continue;
      if (epoch !== undefined) subscription.epoch = epoch;
      subscription.offset = offset;
    }
  }
}
