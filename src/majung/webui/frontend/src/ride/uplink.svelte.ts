// Where this device is, sent over /v1/positions/stream as fast as the network takes it.
//
// Every fix gets the next number of this device's session and is kept until the server has acknowledged it
// (`last_acked_seq` covers everything before it). After a reconnect everything kept is sent again under the
// same numbers, so the server sees repeats as repeats.

import { randomKey } from "../api/client";
import { session } from "../api/session.svelte";
import { network, onNetwork } from "../delivery/network.svelte";
import { Outbox, type Fix } from "./outbox";

const SEND_AT_ONCE = 200;
const BACKOFF_MS = [500, 1000, 2000, 5000, 10_000];
/** A standing device says so this often; browsers report nothing while nothing changes. */
const REPEAT_MS = 5000;
/** A server that has not acknowledged anything for so long is not there, whatever the socket says. */
const DEAF_AFTER_MS = 20_000;

class Uplink {
  sent = $state(0);
  kept = $state(0);
  connected = $state(false);
  blind = $state(false);
  here = $state.raw<{ latitude: number; longitude: number } | null>(null);
  #outbox: Outbox | null = null;
  #account = "";
  #name = "";
  #sentThrough = 0;
  #socket: WebSocket | null = null;
  #watch = 0;
  #repeat: ReturnType<typeof setInterval> | undefined;
  #listen: ReturnType<typeof setInterval> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #last: GeolocationPosition | null = null;
  #failures = 0;
  #pumping = false;
  #heard_ms = 0;
  #unwatch = () => undefined as void;

  start(account: string): void {
    if (this.#account !== account) this.#end();
    if (!this.#outbox) this.#open(account);
    this.sent = 0;
    if (!navigator.geolocation) {
      this.blind = true;
      return;
    }
    const options = { enableHighAccuracy: true, maximumAge: 2000 };
    this.#watch = navigator.geolocation.watchPosition(
      (position) => void this.#take((this.#last = position)),
      () => (this.blind = this.#last === null),
      options,
    );
    this.#repeat = setInterval(() => this.#last && Date.now() - this.#last.timestamp > REPEAT_MS && void this.#take(this.#last), REPEAT_MS);
  }

  /** No more fixes from now on; those that are kept are still sent. */
  stop(): void {
    navigator.geolocation?.clearWatch(this.#watch);
    clearInterval(this.#repeat);
    this.#repeat = undefined;
    this.#last = this.here = null;
    this.blind = false;
    if (this.kept === 0) this.#end();
  }

  #open(account: string): void {
    this.#account = account;
    this.#outbox = new Outbox(account);
    this.#name = `majung.ride.${account}`;
    this.#unwatch = onNetwork(
      () => this.#hangUp(),
      () => void this.#connect(),
    );
    this.#listen = setInterval(() => {
      if (!this.connected || this.kept === 0 || Date.now() - this.#heard_ms < DEAF_AFTER_MS) return;
      this.#hangUp();
      void this.#connect();
    }, REPEAT_MS);
    void this.#count();
    void this.#connect();
  }

  #end(): void {
    clearInterval(this.#listen);
    this.#unwatch();
    this.#hangUp();
    void this.#outbox?.close();
    this.#outbox = null;
    this.#account = "";
  }

  #hangUp(): void {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    this.connected = false;
    socket?.close(1000);
  }

  async #take({ coords }: GeolocationPosition): Promise<void> {
    const outbox = this.#outbox;
    if (!outbox || !this.#last) return;
    this.blind = false;
    this.here = { latitude: coords.latitude, longitude: coords.longitude };
    const fix: Fix = {
      session_id: this.#session(),
      seq: this.#nextSeq(),
      latitude: coords.latitude,
      longitude: coords.longitude,
      device_time_ms: Date.now(),
      accuracy_m: coords.accuracy,
    };
    if (coords.speed !== null && coords.speed >= 0) fix.speed_mps = coords.speed;
    if (coords.heading !== null && Number.isFinite(coords.heading)) fix.heading_deg = coords.heading;
    await outbox.add(fix);
    this.kept += 1;
    await this.#pump();
  }

  #session(): string {
    const key = `${this.#name}.session`;
    const found = localStorage.getItem(key) ?? randomKey();
    localStorage.setItem(key, found);
    return found;
  }

  /** Written down before it is used: after a crash a number is left out rather than used twice. */
  #nextSeq(): number {
    const seq = Number(localStorage.getItem(`${this.#name}.seq`) ?? 0) + 1;
    localStorage.setItem(`${this.#name}.seq`, String(seq));
    return seq;
  }

  async #connect(): Promise<void> {
    let token: string;
    try {
      token = await session.bearer();
    } catch {
      return this.#retry();
    }
    if (!this.#outbox) return;
    this.#hangUp();
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/v1/positions/stream?access_token=${encodeURIComponent(token)}`);
    this.#socket = socket;
    socket.onopen = () => {
      if (this.#socket !== socket) return;
      this.connected = true;
      this.#heard_ms = Date.now();
      this.#sentThrough = 0;
      void this.#pump();
    };
    socket.onmessage = ({ data }) => void this.#answered(JSON.parse(String(data)) as { last_acked_seq?: number | string });
    socket.onclose = () => {
      if (this.#socket !== socket) return;
      this.connected = false;
      this.#socket = null;
      if (network.online) void session.refresh().catch(() => undefined);
      this.#retry();
    };
  }

  #retry(): void {
    if (!this.#outbox || !session.tokens) return;
    const longest = BACKOFF_MS[Math.min(this.#failures, BACKOFF_MS.length - 1)] ?? 10_000;
    this.#failures += 1;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#connect(), longest * (0.5 + Math.random() / 2));
  }

  async #pump(): Promise<void> {
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      while (this.#outbox && this.#socket?.readyState === WebSocket.OPEN) {
        const fixes = await this.#outbox.after(this.#sentThrough, SEND_AT_ONCE);
        const last = fixes.at(-1);
        if (!last) return;
        this.#socket.send(JSON.stringify(fixes));
        this.#sentThrough = last.seq;
      }
    } finally {
      this.#pumping = false;
    }
  }

  async #answered(answer: { last_acked_seq?: number | string }): Promise<void> {
    if (answer.last_acked_seq === undefined || !this.#outbox) return;
    this.#failures = 0;
    this.#heard_ms = Date.now();
    const before = this.kept;
    await this.#outbox.dropThrough(Number(answer.last_acked_seq));
    await this.#count();
    this.sent += Math.max(0, before - this.kept);
    if (this.kept === 0 && this.#repeat === undefined) this.#end();
  }

  async #count(): Promise<void> {
    if (this.#outbox) this.kept = await this.#outbox.count();
  }
}

export const uplink = new Uplink();
