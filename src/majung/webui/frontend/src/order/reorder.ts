// The same again: what the store still has, at the prices of today.

import { deliveryApi, type Option } from "../delivery/api";
import type { Order } from "../delivery/types";
import { words } from "../delivery/words.svelte";
import { toasts } from "../ui/toasts.svelte";
import { basket } from "./basket.svelte";

export async function reorder(order: Order): Promise<void> {
  try {
    const { store, menu } = await deliveryApi.store(order.store_id);
    const gone: string[] = [];
    basket.clear();
    if (!basket.address) basket.deliverTo(order.address);
    for (const line of order.lines) {
      const item = menu.items.find(({ item_id }) => item_id === line.item_id);
      const options = line.options.map((name) => item?.groups?.flatMap((group) => group.options).find((option) => option.name === name && !option.sold_out));
      if (!item || item.sold_out || options.includes(undefined)) gone.push(line.name);
      else basket.add(store, { item, options: options as Option[], quantity: line.quantity });
    }
    if (gone.length > 0) toasts.say(words.w.order.gone(gone.join(", ")), "bad");
    location.hash = basket.count > 0 ? "#/basket" : `#/store/${encodeURIComponent(order.store_id)}`;
  } catch (error) {
    toasts.failed(error);
  }
}
