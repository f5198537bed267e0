// The stream of live positions, over one WebSocket that mends itself.
//
// Each subscription remembers the epoch and offset of what it saw last. After a reconnect it asks for what
// it missed; the server sends that, or "resync" and a snapshot. Nothing is lost without being told.

import { session } from "../api/session.svelte";
import type { Area, LivePosition, RiderEvent } from "../api/types";

export type Target = { area: Area } | { riders: string[] } | { fence: string };

interface Subscription {
  target: Target;
  /** Its snapshot has come: only then an offset of the stream says something about it. */
  known: boolean;
  epoch?: string;
  offset?: number;
}

interface Problem {
  title?: string;
  detail?: string;
  status?: number;
}

type Message = { id?: string; epoch?: string; offset?: number } & (
  | { type: "snapshot"; positions: LivePosition[] }
  | { type: "positions"; positions: LivePosition[] }
  | { type: "gone"; rider_ids: string[] }
  | { type: "event"; event: RiderEvent }
  | { type: "resync" }
  | { type: "resumed" }
  | { type: "error"; error: Problem }
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
const RETRY_MS = 1000;
const STEADY_AFTER_MS = 5000;
const LISTEN_EVERY_MS = 2500;
const QUIET_MS = 15_000;
const ANSWER_MS = 5000;
const ECHO = "are-you-there";
const CREDENTIAL_ENDED = 4401; // expired, or taken away

export class LiveSocket {
  #socket: WebSocket | null = null;
  #subscriptions = new Map<string, Subscription>();
  #failures = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #watch: ReturnType<typeof setInterval> | undefined;
  #closed = false;
  /** Counts connections, so that of two attempts at once only the later one goes on. */
  #attempt = 0;
  #heardMs = 0;
  /** When the line was asked whether it lives; 0: not now. */
  #askedMs = 0;

  constructor(private readonly handlers: Handlers) {
    addEventListener("online", this.#online);
    addEventListener("offline", this.#offline);
  }

  open(): void {
    this.handlers.state("connecting", 0);
    this.#watch = setInterval(() => this.#listen(), LISTEN_EVERY_MS);
    void this.#connect();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    clearInterval(this.#watch);
    removeEventListener("online", this.#online);
    removeEventListener("offline", this.#offline);
    this.#socket?.close(1000);
    this.handlers.state("closed", 0);
  }

  /** Start (or change) a subscription. A changed target starts anew with a snapshot. */
  subscribe(id: string, target: Target): void {
    this.#subscriptions.set(id, { target, known: false });
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
    const attempt = ++this.#attempt;
    let token: string;
    try {
      token = await session.bearer();
    } catch {
      if (session.tokens) this.#retry(); // the server is away; when it said no, the page is signing out
      return;
    }
    if (this.#closed || attempt !== this.#attempt) return;
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/v1/live?access_token=${encodeURIComponent(token)}`);
    this.#socket = socket;
    this.#askedMs = 0;
    let openedMs = 0;
    socket.onopen = () => {
      openedMs = this.#heardMs = performance.now();
      this.handlers.state("live", 0);
      for (const [id, { target, known, epoch, offset }] of this.#subscriptions) {
        this.#send({ subscribe: { id, ...target, ...(known && epoch !== undefined ? { epoch, offset } : {}) } });
      }
    };
    socket.onmessage = (event) => {
      if (this.#socket !== socket) return;
      this.#heardMs = performance.now();
      this.#receive(JSON.parse(String(event.data)) as Message);
    };
    socket.onclose = ({ code }) => {
      if (this.#socket !== socket || this.#closed) return;
      if (openedMs && performance.now() - openedMs > STEADY_AFTER_MS) this.#failures = 0;
      void this.#lost(code);
    };
  }

  async #lost(code: number): Promise<void> {
    this.#socket = null;
    if (code === CREDENTIAL_ENDED) await session.refresh().catch(() => undefined);
    if (session.tokens) this.#retry();
  }

  #retry(): void {
    if (this.#closed) return;
    const longest = BACKOFF_MS[Math.min(this.#failures, BACKOFF_MS.length - 1)] ?? 0;
    this.#failures += 1;
    const wait = longest * (0.5 + Math.random() / 2); // jitter: a thousand pages do not come back as one
    this.handlers.state(navigator.onLine ? "reconnecting" : "offline", Date.now() + wait);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#connect(), wait);
  }

  /** A dead line looks like a quiet one: after a silence ask for something, and hang up when no answer comes. */
  #listen(patienceMs = QUIET_MS): void {
    const socket = this.#socket;
    const now = performance.now();
    if (socket?.readyState !== WebSocket.OPEN) return;
    if (this.#askedMs > 0 && this.#heardMs >= this.#askedMs) {
      this.#askedMs = 0;
      this.#send({ unsubscribe: ECHO });
    } else if (this.#askedMs > 0 && now - this.#askedMs > ANSWER_MS) {
      socket.close();
      void this.#lost(0);
    } else if (this.#askedMs === 0 && now - this.#heardMs > patienceMs) {
      this.#askedMs = now;
      this.#send({ subscribe: { id: ECHO, riders: [ECHO] } });
    }
  }

  #online = (): void => {
    if (this.#socket || this.#closed) return;
    this.#failures = 0;
    clearTimeout(this.#timer);
    void this.#connect();
  };

  #offline = (): void => this.#listen(0);

  #receive(message: Message): void {
    if (message.type === "resync") {
      const subscription = this.#subscriptions.get(message.id ?? "");
      if (subscription) this.#subscriptions.set(message.id ?? "", { target: subscription.target, known: false });
      return; // its snapshot follows
    }
    if (message.type === "error") return this.#refused(message.id ?? "", message.error);
    this.#remember(message);
    if (message.type === "snapshot") {
      if (this.#subscriptions.has(message.id ?? "")) this.handlers.snapshot(message.id ?? "", message.positions);
    } else if (message.type === "positions") this.handlers.positions(message.positions);
    else if (message.type === "gone") this.handlers.gone(message.rider_ids);
    else if (message.type === "event") this.handlers.event(message.event);
  }

  /** A subscription that cannot be had is dropped (a fence that was deleted), one that came too early asked for again. */
  #refused(id: string, { status = 0, title, detail }: Problem): void {
    const subscription = this.#subscriptions.get(id);
    if (subscription && (status === 429 || status === 503)) {
      setTimeout(() => this.#subscriptions.get(id) === subscription && this.subscribe(id, subscription.target), RETRY_MS);
      return;
    }
    this.#subscriptions.delete(id);
    if (status !== 404) this.handlers.error(detail || title || "");
  }

  /**
   * Offsets count the whole stream, so a message without an id moves every subscription on, save those that
   * still wait for their snapshot: resumed from there, they would miss what was there before.
   */
  #remember({ id, epoch, offset, type }: Message): void {
    if (offset === undefined) return;
    for (const [name, subscription] of this.#subscriptions) {
      if (id === name && (type === "snapshot" || type === "resumed")) subscription.known = true;
      if ((id !== undefined && id !== name) || !subscription.known) continue;
      if (epoch !== undefined) subscription.epoch = epoch;
      subscription.offset = offset;
    }
  }
}
