// On duty or not, and the offer that waits for an answer: /v1/riders/me/live, with a poll while it is away.

import { session } from "../api/session.svelte";
import { deliveryApi, type Offer, type Standing } from "../delivery/api";
import { network, onNetwork } from "../delivery/network.svelte";

const RETRY_MS = 2000;
const POLL_MS = 2500;

/** `standing` comes first and is everything; what follows says that something is different. */
type Message = ({ type: "standing" } & Standing) | { type: "duty" | "offer" | "withdrawn" | "assigned" | "released" };

class RiderDuty {
  standing = $state.raw<Standing | null>(null);
  failure = $state.raw<unknown>(null);
  #running = false;
  #socket: WebSocket | null = null;
  #poll: ReturnType<typeof setInterval> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #unwatch = () => undefined as void;

  get offer(): Offer | null {
    return this.standing?.offer ?? null;
  }

  start(): void {
    this.#running = true;
    void this.refresh();
    void this.#connect();
    this.#poll = setInterval(() => network.online && this.#socket?.readyState !== WebSocket.OPEN && void this.refresh(), POLL_MS);
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
    this.standing = null;
  }

  #hangUp(): void {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(1000);
  }

  async refresh(): Promise<void> {
    try {
      this.standing = await deliveryApi.standing();
      this.failure = null;
    } catch (error) {
      this.failure = error;
    }
  }

  async set(on: boolean): Promise<void> {
    this.standing = await deliveryApi.duty(on);
  }

  async answer(offer: Offer, word: "accept" | "decline"): Promise<void> {
    try {
      await deliveryApi.answerOffer(offer.offer_id, word);
    } finally {
      await this.refresh();
    }
  }

  async #connect(): Promise<void> {
    const token = await session.bearer().catch(() => "");
    if (!this.#running || !token) return;
    this.#hangUp();
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/v1/riders/me/live?access_token=${encodeURIComponent(token)}`);
    this.#socket = socket;
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(String(data)) as Message;
      if (message.type === "standing") this.standing = message;
      else void this.refresh();
    };
    socket.onclose = () => {
      if (this.#socket !== socket || !this.#running) return;
      this.#timer = setTimeout(() => void this.#connect(), RETRY_MS);
    };
  }
}

export const duty = new RiderDuty();
