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
    if (error instanceof ApiError && error.status === 409) {
      const now = await deliveryApi.order(order.order_id).catch(() => null);
      if (now) feed.put([now]);
      toasts.say(now && now.version !== order.version ? words.w.account.changed(words.w.states[now.state]) : error.message, "bad");
    } else toasts.failed(error);
    return false;
  }
}
