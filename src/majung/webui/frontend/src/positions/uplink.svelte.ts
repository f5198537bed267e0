// Where this device is, sent to the server as fast as the network takes it.
//
// Every fix gets the next number of this device's session and is kept until the server has acknowledged it
// (`last_acked_seq` covers everything before it). After a reconnect everything kept is sent again under the
// same numbers, so the server sees repeats as repeats.

import { randomKey } from "../api/client";
import type { Line } from "../api/line.svelte";
import { Outbox, type Fix } from "./outbox";

const SEND_AT_ONCE = 200;
const LISTEN_EVERY_MS = 5000;
/** A server that has not acknowledged anything for so long is not there, whatever the socket says. */
const DEAF_AFTER_MS = 20_000;

export interface Pace {
  /** A standing device says so this often; browsers report nothing while nothing changes. */
  repeat_ms: number;
  /** Not more often than this; the last one of a pause is sent at its end. 0: each. */
  least_ms: number;
}

/** Where this device is, by its own word. */
export interface Here {
  latitude: number;
  longitude: number;
  accuracy_m: number;
}

export class Uplink {
  sent = $state(0);
  kept = $state(0);
  /** No position can be had; `denied`: because the browser may not tell it. */
  blind = $state(false);
  denied = $state(false);
  here = $state.raw<Here | null>(null);
  #outbox: Outbox | null = null;
  #account = "";
  #name = "";
  #sentThrough = 0;
  #watch = 0;
  #repeat: ReturnType<typeof setInterval> | undefined;
  #listen: ReturnType<typeof setInterval> | undefined;
  #due: ReturnType<typeof setTimeout> | undefined;
  #last: GeolocationPosition | null = null;
  #taken_ms = 0;
  #pumping = false;
  #heard_ms = 0;
  #letGo = () => undefined as void;

  /** `app` names what is kept on this device. */
  constructor(
    private readonly app: string,
    private readonly line: Line,
    private readonly pace: Pace,
  ) {}

  get connected(): boolean {
    return this.line.connected;
  }

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
      (position) => this.#see(position),
      ({ code, PERMISSION_DENIED }) => {
        this.denied = code === PERMISSION_DENIED;
        this.blind = this.#last === null || this.denied;
      },
      options,
    );
    const { repeat_ms } = this.pace;
    this.#repeat = setInterval(() => this.#last && Date.now() - this.#taken_ms > repeat_ms && void this.#take(this.#last), Math.min(5000, repeat_ms));
  }

  /** No more fixes from now on; those that are kept are still sent. */
  stop(): void {
    navigator.geolocation?.clearWatch(this.#watch);
    clearInterval(this.#repeat);
    clearTimeout(this.#due);
    this.#repeat = this.#due = undefined;
    this.#last = this.here = null;
    this.blind = this.denied = false;
    if (this.kept === 0) this.#end();
  }

  #open(account: string): void {
    this.#account = account;
    this.#name = `majung.${this.app}.${account}`;
    this.#outbox = new Outbox(this.#name);
    this.#letGo = this.line.hold({
      opened: () => {
        this.#heard_ms = Date.now();
        this.#sentThrough = 0;
        void this.#pump();
      },
      heard: (message) => void this.#answered(message),
    });
    this.#listen = setInterval(() => {
      if (this.connected && this.kept > 0 && Date.now() - this.#heard_ms > DEAF_AFTER_MS) this.line.again();
    }, LISTEN_EVERY_MS);
    void this.#count();
  }

  #end(): void {
    clearInterval(this.#listen);
    this.#letGo();
    void this.#outbox?.close();
    this.#outbox = null;
    this.#account = "";
  }

  #see(position: GeolocationPosition): void {
    this.#last = position;
    this.denied = this.blind = false;
    const { latitude, longitude, accuracy } = position.coords;
    this.here = { latitude, longitude, accuracy_m: accuracy };
    const wait_ms = this.#taken_ms + this.pace.least_ms - Date.now();
    if (wait_ms <= 0) void this.#take(position);
    else this.#due ??= setTimeout(() => this.#last && void this.#take(this.#last), wait_ms);
  }

  async #take({ coords }: GeolocationPosition): Promise<void> {
    const outbox = this.#outbox;
    if (!outbox || !this.#last) return;
    clearTimeout(this.#due);
    this.#due = undefined;
    this.#taken_ms = Date.now();
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

  async #pump(): Promise<void> {
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      while (this.#outbox && this.connected) {
        const fixes = await this.#outbox.after(this.#sentThrough, SEND_AT_ONCE);
        const last = fixes.at(-1);
        if (!last) return;
        if (!this.line.send(fixes)) return;
        this.#sentThrough = last.seq;
      }
    } finally {
      this.#pumping = false;
    }
  }

  async #answered(answer: { last_acked_seq?: number | string }): Promise<void> {
    if (answer.last_acked_seq === undefined || !this.#outbox) return;
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
