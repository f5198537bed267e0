// A WebSocket that mends itself: signed in with this page's token, hung up while the device has no network, and
// opened again with growing pauses. Whoever needs it holds it; with the last one it closes.

import { onNetwork } from "./network.svelte";
import { session } from "./session.svelte";

const BACKOFF_MS = [500, 1000, 2000, 4000, 8000];
/** What the server closes with when the token holds no more. */
const SIGNED_OUT: ReadonlySet<number> = new Set([4401, 1008]);

export interface Hearer {
  opened?: () => void;
  heard?: (message: object) => void;
}

export class Line {
  connected = $state(false);
  #socket: WebSocket | null = null;
  #hearers = new Set<Hearer>();
  #failures = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #unwatch = () => undefined as void;

  constructor(private readonly path: string) {}

  /** Returns how to let go. */
  hold(hearer: Hearer): () => void {
    this.#hearers.add(hearer);
    if (this.#hearers.size === 1) this.#start();
    else if (this.connected) hearer.opened?.();
    return () => {
      if (!this.#hearers.delete(hearer) || this.#hearers.size > 0) return;
      this.#unwatch();
      this.#hangUp();
    };
  }

  /** False: there is nobody to send it to. */
  send(message: object): boolean {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  /** Whatever the socket says, nobody is there: a new one. */
  again(): void {
    this.#hangUp();
    void this.#connect();
  }

  #start(): void {
    this.#failures = 0;
    this.#unwatch = onNetwork(
      () => this.#hangUp(),
      () => this.again(),
    );
    void this.#connect();
  }

  #hangUp(): void {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    this.connected = false;
    socket?.close(1000);
  }

  async #connect(): Promise<void> {
    let token: string;
    try {
      token = await session.bearer();
    } catch {
      return this.#retry();
    }
    if (this.#hearers.size === 0) return;
    this.#hangUp();
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}${this.path}?access_token=${encodeURIComponent(token)}`);
    this.#socket = socket;
    socket.onopen = () => {
      if (this.#socket !== socket) return;
      this.connected = true;
      for (const { opened } of this.#hearers) opened?.();
    };
    socket.onmessage = ({ data }) => {
      if (this.#socket !== socket) return;
      this.#failures = 0; // not when it opens: a server that hangs up at once would be asked without a pause
      const message = JSON.parse(String(data)) as object;
      for (const { heard } of this.#hearers) heard?.(message);
    };
    socket.onclose = ({ code }) => {
      if (this.#socket !== socket) return;
      this.#socket = null;
      this.connected = false;
      if (SIGNED_OUT.has(code)) void session.refresh().catch(() => undefined);
      this.#retry();
    };
  }

  #retry(): void {
    if (this.#hearers.size === 0 || !session.tokens) return;
    const longest = BACKOFF_MS[Math.min(this.#failures, BACKOFF_MS.length - 1)] ?? 8000;
    this.#failures += 1;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#connect(), longest * (0.5 + Math.random() / 2));
  }
}
