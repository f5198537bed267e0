// Which orders the administrator wants to see.

import { FINAL, type Order, type OrderState } from "../delivery/types";

export type Kind = "active" | "stuck" | "unassigned" | "all";

/** Minutes in a state after which somebody should look. */
export const STUCK_AFTER_MIN: Partial<Record<OrderState, number>> = {
  RECEIVED: 5,
  READY: 10,
  PICKED_UP: 10,
  DELIVERING: 45,
};
const LATE_COOKING_MIN = 10;
const NEEDS_RIDER: ReadonlySet<OrderState> = new Set<OrderState>(["COOKING", "READY"]);

class Wanted {
  kind = $state<Kind>("active");
  state = $state<OrderState | "">("");
  text = $state("");
}

export const wanted = new Wanted();

export function isStuck(order: Order, now: number): boolean {
  const minutes = (now - order.changed_at_ms) / 60_000;
  if (order.state === "COOKING") {
    return (now - order.accepted_at_ms) / 60_000 > order.cooking_minutes + LATE_COOKING_MIN;
  }
  return minutes > (STUCK_AFTER_MIN[order.state] ?? Infinity);
}

export const isUnassigned = (order: Order) => !order.rider_id && NEEDS_RIDER.has(order.state);

export function matches(order: Order, kind: Kind, now: number): boolean {
  if (kind === "active") return !FINAL.has(order.state);
  if (kind === "stuck") return isStuck(order, now);
  return kind === "all" || isUnassigned(order);
}

export function filtered(orders: Order[], { kind, state, text }: Pick<Wanted, "kind" | "state" | "text">, now: number): Order[] {
  const word = text.trim().toLowerCase();
  return orders.filter(
    (order) =>
      matches(order, kind, now) &&
      (!state || order.state === state) &&
      (!word ||
        [order.order_id, order.customer, order.store_name, order.rider_id, order.address.text].some((field) =>
          field.toLowerCase().includes(word),
        )),
  );
}
