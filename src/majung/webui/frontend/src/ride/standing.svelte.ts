// On duty or not, and the offer that waits for an answer: /v1/riders/me/live, with a poll while it is away.

import { Line } from "../api/line.svelte";
import { network } from "../api/network.svelte";
import { deliveryApi, type Offer, type Standing } from "../delivery/api";

const POLL_MS = 2500;

/** `standing` comes first and is everything; what follows says that something is different. */
type Message = ({ type: "standing" } & Standing) | { type: "duty" | "offer" | "withdrawn" | "assigned" | "released" };

class RiderDuty {
  standing = $state.raw<Standing | null>(null);
  failure = $state.raw<unknown>(null);
  #line = new Line("/v1/riders/me/live");
  #poll: ReturnType<typeof setInterval> | undefined;
  #letGo = () => undefined as void;

  get offer(): Offer | null {
    return this.standing?.offer ?? null;
  }

  start(): void {
    void this.refresh();
    this.#letGo = this.#line.hold({ heard: (message) => this.#receive(message as Message) });
    this.#poll = setInterval(() => network.online && !this.#line.connected && void this.refresh(), POLL_MS);
  }

  stop(): void {
    clearInterval(this.#poll);
    this.#letGo();
    this.standing = null;
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

  #receive(message: Message): void {
    if (message.type === "standing") this.standing = message;
    else void this.refresh();
  }
}

export const duty = new RiderDuty();
