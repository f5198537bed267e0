// Which orders the administrator wants to see, and which of them somebody should look at.

import { feed } from "../delivery/feed.svelte";
import { FINAL, type Order, type OrderState } from "../delivery/types";
import { dispatch } from "./dispatch.svelte";

export type Kind = "active" | "attention" | "late" | "unassigned" | "all";

/** Minutes in a state after which somebody should look. */
const STUCK_AFTER_MIN: Partial<Record<OrderState, number>> = {
  RECEIVED: 5,
  READY: 10,
  PICKED_UP: 10,
  DELIVERING: 45,
};
const LATE_COOKING_MIN = 10;
/** Nothing is stuck that changed later than this. */
export const STUCK_SOONEST_MIN = Math.min(...Object.values(STUCK_AFTER_MIN));
const NEEDS_RIDER: ReadonlySet<OrderState> = new Set<OrderState>(["COOKING", "READY"]);
/** Dispatch needs a moment to ask somebody and hear an answer; before that, no rider is missing. */
const MATCHING_MS = 30_000;
/** After so long, an order without a rider is a matter for people. */
const UNASSIGNED_AFTER_MIN = 2;

class Wanted {
  kind = $state<Kind>("active");
  state = $state<OrderState | "">("");
  text = $state("");
}

export const wanted = new Wanted();

export function isStuck(order: Order, now: number): boolean {
  if (order.state === "COOKING") return (now - order.accepted_at_ms) / 60_000 > order.cooking_minutes + LATE_COOKING_MIN;
  return (now - order.changed_at_ms) / 60_000 > (STUCK_AFTER_MIN[order.state] ?? Infinity);
}

export const isLate = (order: Order) => !FINAL.has(order.state) && (feed.etas.get(order.order_id)?.late ?? false);

export const needsRider = (order: Order) => !order.rider_id && NEEDS_RIDER.has(order.state);

/** No rider, although dispatch has asked for a while, or has nobody to ask. */
export function isUnassigned(order: Order, now: number): boolean {
  if (!needsRider(order)) return false;
  const search = dispatch.of(order.order_id);
  const all = dispatch.now;
  if (search) return (!search.offered_to && all?.riders_free === 0) || now - Math.max(search.since_ms, search.start_at_ms) > MATCHING_MS;
  // Not looked for yet: accepted just now, or offered only when it is nearly cooked. Else it is beyond the list's end.
  return (!all || all.orders.length < all.unassigned) && now - order.accepted_at_ms > MATCHING_MS;
}

/** 2: stuck, or nobody carries it; 1: late; 0: all is well. */
export function urgency(order: Order, now: number): 0 | 1 | 2 {
  const alone = isUnassigned(order, now) && now - Math.max(order.accepted_at_ms, order.ready_at_ms) > UNASSIGNED_AFTER_MIN * 60_000;
  if (isStuck(order, now) || alone) return 2;
  return isLate(order) ? 1 : 0;
}

export function matches(order: Order, kind: Kind, now: number): boolean {
  if (kind === "active") return !FINAL.has(order.state);
  if (kind === "attention") return urgency(order, now) > 0;
  if (kind === "late") return isLate(order);
  return kind === "all" || isUnassigned(order, now);
}

/** What matches, the urgent first, then the newest. The words are those that the server looks through. */
export function filtered(orders: Order[], { kind, state, text }: Pick<Wanted, "kind" | "state" | "text">, now: number): Order[] {
  const word = text.trim().toLowerCase();
  const found = orders.filter(
    (order) => matches(order, kind, now) && (!state || order.state === state) && (!word || wordsOf(order).includes(word)),
  );
  return found.sort((a, b) => urgency(b, now) - urgency(a, now) || b.placed_at_ms - a.placed_at_ms);
}

const wordsOf = (order: Order) =>
  [order.order_id, order.customer, order.store_name, order.rider_id, order.address.text, order.note, ...order.lines.map(({ name }) => name)]
    .join(" ")
    .toLowerCase();
