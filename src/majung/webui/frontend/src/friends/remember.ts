// The last list, kept on this device for when there is no network; gone when somebody signs out.

import { nearFeed } from "./near.svelte";
import { people } from "./people.svelte";
import type { Friend, Here, Me, Near } from "./types";

interface Last {
  me: Me;
  friends: readonly Friend[];
  near: readonly Near[];
  further: readonly Near[];
  here: Here | null;
  at_ms: number;
}

const keyOf = (account: string) => `majung.friends.last.${account}`;

export function recall(account: string): void {
  try {
    const last = JSON.parse(localStorage.getItem(keyOf(account)) ?? "null") as Last | null;
    if (!last) return;
    people.recall(last.me, last.friends);
    nearFeed.recall(last.near, last.further, last.here, last.at_ms);
  } catch {
    forget(account); // of an older version of the page
  }
}

export function keep(account: string): void {
  if (!people.me || !people.loaded || !nearFeed.fresh) return;
  const { list: near, further, here, at_ms } = nearFeed;
  const last: Last = { me: people.me, friends: people.friends, near, further, here, at_ms };
  try {
    localStorage.setItem(keyOf(account), JSON.stringify(last));
  } catch {
    // No room on this device: then it opens empty without a network.
  }
}

export const forget = (account: string) => localStorage.removeItem(keyOf(account));
