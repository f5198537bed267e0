// A line of the audit as a person would say it.

import type { AuditLine } from "../delivery/types";
import { words } from "../delivery/words.svelte";

/** "customer:ann" is called ann. */
export const nameOf = (account: string) => account.replace(/^(customer|user|client):/, "");

/** What beside the state it changed: minutes, a reason, who carries it, how it was proved. */
export function detailOf({ command, order }: AuditLine, before: AuditLine | undefined): string {
  const w = words.w.admin;
  if (command === "accept" || command === "set_cooking_time") return w.cooks(order.cooking_minutes);
  if (command === "assign") return before?.order.rider_id ? `${before.order.rider_id} → ${order.rider_id}` : order.rider_id;
  if (command === "unassign") return before?.order.rider_id ?? "";
  if (command === "deliver") return order.proof ? (words.w.follow.proof[order.proof.kind] ?? "") : w.noProof;
  return order.reason && ["reject", "cancel", "fail"].includes(command) ? `“${order.reason}”` : "";
}

/** Who: "the store", "the administrator kim for the store". */
export function actorOf({ actor, actor_id, order }: AuditLine): string {
  const w = words.w.admin;
  const own: Record<string, string> = { customer: order.customer, store: order.store_id, dispatch: "dispatch" };
  const known = actor === "rider" ? actor_id.startsWith("rider") || actor_id === order.rider_id : own[actor] === actor_id;
  const role = w.actors[actor] ?? actor;
  if (actor === "store" && known) return order.store_name;
  if (actor === "dispatch") return role;
  if (actor === "admin" || known) return `${role} ${nameOf(actor_id)}`;
  return w.inPlaceOf(nameOf(actor_id), role);
}
