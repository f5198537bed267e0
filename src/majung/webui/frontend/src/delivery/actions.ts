// Doing something to an order: the answer goes into the feed; of a conflict, the state as it now is.

import { ApiError } from "../api/client";
import { toasts } from "../ui/toasts.svelte";
import { deliveryApi } from "./api";
import { feed } from "./feed.svelte";
import type { Command, Order } from "./types";
import { words } from "./words.svelte";

/** True when it was done. */
export async function act(order: Order, command: Command, body: Record<string, unknown> = {}): Promise<boolean> {
  try {
    feed.put([await deliveryApi.command(order, command, body)]);
    return true;
  } catch (error) {
    const now = currentOf(error);
    if (now) {
      feed.put([now]);
      const { changed } = words.w.account;
      toasts.say(now.version === order.version ? (error as ApiError).message : changed(words.w.states[now.state]), "bad");
    } else toasts.failed(error);
    return false;
  }
}

/** Who was too late is told the order as it is now (409 order-conflict). */
export function currentOf(error: unknown): Order | null {
  const order = error instanceof ApiError && error.status === 409 ? (error.body["order"] as Order | undefined) : undefined;
  return order ?? null;
}
