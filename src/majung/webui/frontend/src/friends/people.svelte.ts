// Me, my friends, what they ask and what I decided, as the server has it; read again whenever it says so.

import { ApiError } from "../api/client";
import { toasts } from "../ui/toasts.svelte";
import { friendsApi, type Group, type Asked, type Person } from "./api";
import { colourOf, coloursOf } from "./face";
import type { Friend, Me } from "./types";

class People {
  me = $state.raw<Me | null>(null);
  friends = $state.raw<readonly Friend[]>([]);
  incoming = $state.raw<readonly Person[]>([]);
  outgoing = $state.raw<readonly Asked[]>([]);
  groups = $state.raw<readonly Group[]>([]);
  failure = $state.raw<unknown>(null);
  /** Read from the server since the page was opened. */
  loaded = $state(false);
  byId = $derived(new Map(this.friends.map((friend) => [friend.person_id, friend])));
  /** Who sees something of me now. */
  watching = $derived(this.friends.filter(({ gives }) => gives.mode !== "off"));
  #colours = $derived(coloursOf(this.friends.map(({ person_id }) => person_id)));
  #asked = 0;

  /** Of several that run at once, the one that was asked last counts. */
  async refresh(): Promise<void> {
    const asked = (this.#asked += 1);
    try {
      const [me, friends, requests, groups] = await Promise.all([friendsApi.me(), friendsApi.friends(), friendsApi.requests(), friendsApi.groups()]);
      if (asked !== this.#asked) return;
      this.me = me;
      this.friends = friends;
      this.incoming = requests.incoming;
      this.outgoing = requests.outgoing;
      this.groups = groups;
      this.failure = null;
      this.loaded = true;
    } catch (error) {
      if (asked === this.#asked) this.failure = error;
    }
  }

  clear(): void {
    this.#asked += 1;
    this.me = this.failure = null;
    this.friends = this.groups = [];
    this.incoming = this.outgoing = [];
    this.loaded = false;
  }

  recall(me: Me, friends: readonly Friend[]): void {
    if (this.loaded) return;
    this.me = me;
    this.friends = friends;
  }

  /** Do it, read everything again, and say so. False: it was not done, and why was said. */
  async act(work: () => Promise<unknown>, said = ""): Promise<boolean> {
    try {
      await work();
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) await this.refresh();
      toasts.failed(error);
      return false;
    }
    await this.refresh();
    if (said) toasts.say(said, "good");
    return true;
  }

  colourOf = (person_id: string): string => this.#colours.get(person_id) ?? colourOf(person_id);
}

export const people = new People();
