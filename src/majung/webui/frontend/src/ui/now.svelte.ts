// The time as the pages show it, moved on once a second while anybody looks.

import { createSubscriber } from "svelte/reactivity";

const subscribe = createSubscriber((update) => {
  const timer = setInterval(update, 1000);
  return () => clearInterval(timer);
});

export const clock = {
  /** Unix milliseconds; whoever reads it in markup or an effect is told each second. */
  get now(): number {
    subscribe();
    return Date.now();
  },
};
