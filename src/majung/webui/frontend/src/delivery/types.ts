// What the server says about orders, stores and offers (orders/model.py and its neighbours).
// Money is whole won (`_krw`), times Unix milliseconds (`_ms`), places WGS 84 degrees, lengths metres.

export const STEPS = ["RECEIVED", "COOKING", "READY", "PICKED_UP", "DELIVERING", "DELIVERED"] as const;
export type OrderState = (typeof STEPS)[number] | "REJECTED" | "CANCELLED" | "FAILED";
export const FINAL: ReadonlySet<OrderState> = new Set<OrderState>(["DELIVERED", "REJECTED", "CANCELLED", "FAILED"]);

export type Command =
  | "accept" | "reject" | "ready" | "cooking-time" | "pick-up" | "depart" | "deliver" | "fail" | "cancel"
  | "reassign" | "unassign"; // prettier-ignore

export interface Place {
  latitude: number;
  longitude: number;
}

export interface Address extends Place {
  text: string;
  detail: string;
  precision: "point" | "building" | "street" | "dong" | "district";
  precision_m: number;
}

export interface Line {
  item_id: string;
  name: string;
  quantity: number;
  price_krw: number;
  options: string[];
}

export interface Proof {
  kind: string;
  ref: string;
}

export interface Order {
  order_id: string;
  version: number;
  state: OrderState;
  customer: string;
  store_id: string;
  store_name: string;
  store_latitude: number;
  store_longitude: number;
  address: Address;
  lines: Line[];
  total_krw: number;
  placed_at_ms: number;
  changed_at_ms: number;
  note: string;
  rider_id: string;
  assigned_at_ms?: number;
  cooking_minutes: number;
  accepted_at_ms: number;
  ready_at_ms: number;
  picked_up_at_ms: number;
  departed_at_ms: number;
  ended_at_ms: number;
  reason: string;
  /** Shown to the customer, typed by the rider. */
  delivery_code: string;
  proof: Proof | null;
}

export interface AuditLine {
  event_id: string;
  version: number;
  command: string;
  actor: string;
  actor_id: string;
  at_ms: number;
  order: Order;
}

export interface RiderPlace extends Place {
  order_id?: string;
  rider_id?: string;
  device_time_ms?: number;
  received_at_ms?: number;
  heading_deg?: number | null;
}

/** When it is at the door, with an interval. `late`: later than was first said. */
export interface Eta {
  at_ms: number;
  earliest_ms?: number;
  latest_ms?: number;
  late?: boolean;
  computed_at_ms?: number;
}

/** A way by road; `straight` when the server has no map of the streets. */
export interface Route {
  distance_m: number;
  duration_s: number;
  points: [number, number][];
  source: "valhalla" | "straight";
}
