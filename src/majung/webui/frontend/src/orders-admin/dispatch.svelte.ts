// What dispatch says of itself: who is free, and which orders still look for a rider.

import { createSubscriber } from "svelte/reactivity";
import { deliveryApi, type Searching, type Unassigned } from "../delivery/api";

const EVERY_MS = 5000;
let latest: Unassigned | null = null;
let byId: ReadonlyMap<string, Searching> = new Map();

const subscribe = createSubscriber((update) => {
  const load = () =>
    void deliveryApi.unassigned().then(
      (found) => {
        latest = found;
        byId = new Map(found.orders.map((one) => [one.order_id, one]));
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
  /** How the search for this order's rider goes; undefined: it has a rider, or none is looked for yet. */
  of(order_id: string): Searching | undefined {
    subscribe();
    return byId.get(order_id);
  },
};
