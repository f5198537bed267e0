// Who is near, over the stream /v1/friends/live. Every connect begins with a snapshot of everything; what follows
// changes it. The same line carries this device's own positions (sending.svelte.ts).

import { Line } from "../api/line.svelte";
import { network } from "../api/network.svelte";
import { friendsApi } from "./api";
import { people } from "./people.svelte";
import type { Friend, Here, LiveMessage, Near } from "./types";

const FAR_EVERY_MS = 30_000;
/** Who is further than the radius is asked for within this. */
const FAR_M = 500_000;
/** Places that are asked for one by one. */
const MOST_ASKED = 40;
/** The server tells us something at least this often, or it is not there. */
const QUIET_MS = 45_000;
const QUIET_FIRST_MS = 4000;

export type Passing = { kind: "entered"; friend: Near } | { kind: "away" | "gone"; friend: Near };

class NearFeed {
  byId = $state.raw<ReadonlyMap<string, Near>>(new Map());
  /** Friends who can be seen, but not within the radius. */
  further = $state.raw<readonly Near[]>([]);
  here = $state.raw<Here | null>(null);
  radius_m = $state(0);
  /** When this was so, by the server's clock; 0: never heard. */
  at_ms = $state(0);
  /** A snapshot has come over the connection that is open now. */
  fresh = $state(false);
  readonly line = new Line("/v1/friends/live");
  list = $derived([...this.byId.values()].sort((a, b) => (a.distance_m ?? 0) - (b.distance_m ?? 0)));
  #ahead_ms = $state(0);
  #letGo = () => undefined as void;
  #timer: ReturnType<typeof setInterval> | undefined;
  #quiet_until_ms = 0;
  #tellers = new Set<(passing: Passing) => void>();
  #changed = () => undefined as void;

  /** `changed`: friendships or decisions are others now. */
  start(changed: () => void): void {
    this.#changed = changed;
    this.#letGo = this.line.hold({
      opened: () => (this.fresh = false),
      heard: (message) => "type" in message && this.#receive(message as LiveMessage),
    });
    this.#timer = setInterval(() => !document.hidden && void this.askFurther(), FAR_EVERY_MS);
    document.addEventListener("visibilitychange", this.#looked);
  }

  stop(): void {
    clearInterval(this.#timer);
    document.removeEventListener("visibilitychange", this.#looked);
    this.#letGo();
    this.byId = new Map();
    this.further = [];
    this.here = null;
    this.at_ms = 0;
    this.fresh = false;
  }

  /** The server's clock, as far as this device knows it. */
  serverTime = (now_ms: number) => now_ms + this.#ahead_ms;

  /** Whoever came near, left, or was not seen any more. Returns how to stop. */
  tell(teller: (passing: Passing) => void): () => void {
    this.#tellers.add(teller);
    return () => this.#tellers.delete(teller);
  }

  /** What was kept of the last time, until the server has spoken. */
  recall(near: readonly Near[], further: readonly Near[], here: Here | null, at_ms: number): void {
    if (this.at_ms) return;
    this.byId = new Map(near.map((friend) => [friend.place.person_id, friend]));
    this.further = further;
    this.here = here;
    this.at_ms = at_ms;
  }

  async askFurther(): Promise<void> {
    if (!network.online || !this.fresh) return;
    const found = await friendsApi.nearby(FAR_M).catch(() => null);
    if (!found) return;
    this.here = found.here;
    const all = found.here ? found.near : await placesOf(people.friends);
    this.further = all.filter(({ place }) => !this.byId.has(place.person_id));
  }

  /** A phone that slept has sockets that look open and are not. */
  #looked = () => {
    if (document.hidden) return;
    if (this.line.connected && Date.now() - this.#heard_ms > QUIET_MS) this.line.again();
    void this.askFurther();
  };
  #heard_ms = 0;

  #receive(message: LiveMessage): void {
    this.#heard_ms = Date.now();
    if (message.type === "snapshot") this.#snapshot(message);
    else if (message.type === "near") this.#near(message.friend, message.entered);
    else if (message.type === "left") this.#left(message.person_id, message.reason);
    else if (message.type === "distances") this.#distances(message.distances);
    else if (message.type === "friends_changed") this.#changed();
    if ("at_ms" in message) this.#clock(message.at_ms);
    else this.at_ms = this.serverTime(Date.now());
  }

  #clock(at_ms: number): void {
    this.at_ms = at_ms;
    this.#ahead_ms = at_ms - Date.now();
  }

  #snapshot({ near, here, radius_m }: Extract<LiveMessage, { type: "snapshot" }>): void {
    const before = this.byId;
    const again = this.fresh;
    this.byId = new Map(near.map((friend) => [friend.place.person_id, friend]));
    this.here = here;
    this.radius_m = radius_m;
    this.fresh = true;
    void this.askFurther();
    if (!again) return; // the first of a connection: nobody has just come
    for (const friend of near) if (!before.has(friend.place.person_id)) this.#pass({ kind: "entered", friend });
  }

  #near(friend: Near, entered: boolean): void {
    const id = friend.place.person_id;
    if (!this.here) this.#located();
    this.byId = new Map(this.byId).set(id, friend);
    this.further = this.further.filter(({ place }) => place.person_id !== id);
    if (entered) this.#pass({ kind: "entered", friend });
  }

  #left(id: string, reason: "away" | "gone"): void {
    const friend = this.byId.get(id);
    const next = new Map(this.byId);
    next.delete(id);
    this.byId = next;
    this.further = this.further.filter(({ place }) => place.person_id !== id);
    if (friend) this.#pass({ kind: reason, friend });
    if (reason === "away") void this.askFurther();
  }

  /** The server has just learnt where I am: who is near was near before, and is no news. */
  #located(): void {
    if (Date.now() < this.#quiet_until_ms) return;
    this.#quiet_until_ms = Date.now() + QUIET_FIRST_MS;
    void this.askFurther();
  }

  #distances(distances: Record<string, number>): void {
    const next = new Map(this.byId);
    for (const [id, distance_m] of Object.entries(distances)) {
      const friend = next.get(id);
      if (friend) next.set(id, { ...friend, distance_m });
    }
    this.byId = next;
  }

  #pass(passing: Passing): void {
    if (Date.now() < this.#quiet_until_ms) return;
    for (const teller of this.#tellers) teller(passing);
  }
}

/** Who does not tell where they are has no distances, but sees all the same who shares with them. */
async function placesOf(friends: readonly Friend[]): Promise<Near[]> {
  const shown = friends.filter(({ gets }) => gets.mode !== "off").slice(0, MOST_ASKED);
  const found = await Promise.all(
    shown.map(async ({ person_id, display_name }): Promise<Near[]> => {
      const place = await friendsApi.place(person_id).catch(() => null); // gone, or not to be seen any more
      return place ? [{ display_name, distance_m: null, place }] : [];
    }),
  );
  return found.flat();
}

export const nearFeed = new NearFeed();
