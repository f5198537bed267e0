// Whether this device tells where it is. Nobody is asked by the browser before they have tapped for it here, and a
// computer at home need not speak for the phone in the pocket.

import { Uplink } from "../positions/uplink.svelte";
import { nearFeed } from "./near.svelte";
import type { Here } from "./types";

const KEY = "majung.friends.sends";
const AWAKE = "majung.friends.awake";
/** 30 s is what friends expect; on foot every 3 s moves smoothly. */
const PACE = { repeat_ms: 25_000, least_ms: 3000 };

class Sending {
  /** null: not asked yet. */
  chosen = $state<boolean | null>(localStorage.getItem(KEY) === null ? null : localStorage.getItem(KEY) === "1");
  awake = $state(localStorage.getItem(AWAKE) === "1");
  readonly uplink = new Uplink("friends", nearFeed.line, PACE);

  /** Where I am: by this device, else where the server heard of me last. */
  get here(): Here | null {
    return this.uplink.here ?? nearFeed.here;
  }

  choose(on: boolean): void {
    this.chosen = on;
    localStorage.setItem(KEY, on ? "1" : "0");
  }

  stayAwake(on: boolean): void {
    this.awake = on;
    localStorage.setItem(AWAKE, on ? "1" : "0");
  }
}

export const sending = new Sending();
