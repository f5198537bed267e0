// What dispatch says of itself: who is free, and which orders still look for a rider.

import { createSubscriber } from "svelte/reactivity";
import { deliveryApi, type Unassigned } from "../delivery/api";

const EVERY_MS = 5000;
let latest: Unassigned | null = null;

const subscribe = createSubscriber((update) => {
  const load = () =>
    void deliveryApi.unassigned().then(
      (found) => {
        latest = found;
        update();
      },
      () => undefined, // the next one may get through
    );
  load();
  const timer = setInterval(load, EVERY_MS);
  return () => clearInterval(timer);
});

export const dispatch = {
  /** Null until it was heard; whoever reads it is told every few seconds. */
  get now(): Unassigned | null {
    subscribe();
    return latest;
  },
};
