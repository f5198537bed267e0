// One order as a share link shows it, live. The token in the address is all that is needed.

import type { Eta } from "../delivery/types";
import type { SharedOrder, SharedPosition, SharedTrack } from "./api";

type Message =
  | { type: "track"; track: SharedTrack }
  | { type: "order"; order: SharedOrder }
  | { type: "rider"; rider: SharedPosition | null }
  | { type: "eta"; eta: Eta }
  | { type: "over" };

const AGAIN_AFTER_MS = [1000, 2000, 4000, 8000, 15_000];

export class Track {
  status = $state<"coming" | "seen" | "over" | "unknown">("coming");
  order = $state.raw<SharedOrder | null>(null);
  rider = $state.raw<(SharedPosition & { heard_ms: number }) | null>(null);
  eta = $state.raw<Eta | null>(null);
  expires_ms = $state(0);
  connected = $state(true);
  #events: EventSource | null = null;
  #failures = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #path: string;

  constructor(token: string) {
    this.#path = `/v1/track/${encodeURIComponent(token)}`;
  }

  start(): void {
    const events = (this.#events = new EventSource(`${this.#path}/events`));
    events.onopen = () => {
      this.connected = true;
      this.#failures = 0;
    };
    events.onmessage = ({ data }) => this.#take(JSON.parse(String(data)) as Message);
    events.onerror = () => {
      this.connected = false;
      // A stream that broke is opened again by the browser; one that was refused is not.
      if (events.readyState === EventSource.CLOSED) void this.#ask();
    };
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#events?.close();
  }

  async #ask(): Promise<void> {
    const status = await fetch(this.#path).then(
      (answer) => answer.status,
      () => 0,
    );
    if (status === 410) this.#end("over");
    else if (status === 404) this.#end("unknown");
    else {
      const pause = AGAIN_AFTER_MS[Math.min(this.#failures++, AGAIN_AFTER_MS.length - 1)] ?? 15_000;
      this.#timer = setTimeout(() => this.start(), pause);
    }
  }

  #end(status: "over" | "unknown"): void {
    this.stop();
    this.status = status;
    this.order = this.rider = this.eta = null; // what was seen is not kept on the screen either
  }

  #take(message: Message): void {
    if (message.type === "over") return this.#end("over");
    if (message.type === "track") {
      this.order = message.track.order;
      this.eta = message.track.eta;
      this.expires_ms = message.track.expires_ms;
      this.#see(message.track.rider);
      this.status = "seen";
    } else if (message.type === "order") {
      if (message.order.version >= (this.order?.version ?? 0)) this.order = message.order;
    } else if (message.type === "rider") this.#see(message.rider);
    else if (message.type === "eta") this.eta = message.eta;
  }

  #see(rider: SharedPosition | null): void {
    this.rider = rider && { ...rider, heard_ms: Date.now() };
  }
}
