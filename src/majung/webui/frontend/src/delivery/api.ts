// The calls of the delivery pages.

import { get, randomKey, request } from "../api/client";
import type { Address, AuditLine, Command, Eta, Order, Place, Proof, RiderPlace, Route } from "./types";

export interface Me {
  subject: string;
  role: string;
  rider_id?: string | null;
  store_id?: string | null;
}

/** `price_krw` is added to the price of the dish. The server leaves out what is 0, false or empty. */
export interface Option {
  option_id: string;
  name: string;
  price_krw?: number;
  sold_out?: boolean;
}

export interface OptionGroup {
  name: string;
  options: Option[];
  required?: boolean;
  multiple?: boolean;
}

export interface Item {
  item_id: string;
  name: string;
  price_krw: number;
  category?: string;
  description?: string;
  groups?: OptionGroup[];
  sold_out?: boolean;
}

export interface Menu {
  version: number;
  items: Item[];
}

interface StoreFacts {
  store_id: string;
  name: string;
  category: string;
  latitude: number;
  longitude: number;
  address: string;
  radius_m?: number;
  minimum_krw?: number;
  fee_krw?: number;
}

export interface StoreCard extends StoreFacts {
  is_open: boolean;
  opens_at_ms?: number | null;
  distance_m?: number | null;
  delivers?: boolean | null;
}

export interface Store extends StoreFacts {
  version: number;
  hours: Record<string, string[]>;
  description?: string;
  closed_until_ms?: number;
}

export interface StorePage {
  store: Store;
  menu: Menu;
  is_open: boolean;
  opens_at_ms?: number | null;
}

export interface NewStore {
  name: string;
  category: string;
  latitude: number;
  longitude: number;
  address: string;
  hours: Record<string, string[]>;
  minimum_krw: number;
  fee_krw: number;
}

export interface Wish {
  store_id: string;
  address: Address;
  lines: { item_id: string; quantity: number; options: string[]; price_krw: number }[];
  note: string;
}

export interface Offer {
  offer_id: string;
  order_id: string;
  status: string;
  offered_at_ms: number;
  expires_at_ms: number;
  store_id: string;
  store_name: string;
  store_latitude: number;
  store_longitude: number;
  store_distance_m: number;
  latitude: number;
  longitude: number;
  address: string;
  way_m: number;
  earning_krw: number;
}

/** On duty or not, the open offer, the order that is carried ("": none). */
export interface Standing {
  rider_id: string;
  on: boolean;
  offer: Offer | null;
  order_id: string;
  off_because: "" | "missed_offers";
}

/** An order that has no rider yet, and how far one was looked for. */
export interface Searching {
  order_id: string;
  since_ms: number;
  start_at_ms: number;
  tries: number;
  radius_m: number;
  refused: number;
  offered_to: string;
}

export interface Unassigned {
  orders: Searching[];
  unassigned: number;
  riders_on_duty: number;
  riders_free: number;
}

/** Shares of 1; an error is what happened minus what was said. `promised`: what was shown first. */
export interface StageCalibration {
  stage: string;
  n: number;
  inside: number;
  early: number;
  later: number;
  mean_error_s: number;
  mean_abs_error_s: number;
  mean_width_s: number;
}

export interface Calibration {
  aimed_inside: number;
  stages: StageCalibration[];
}

const json = (method: string, body: unknown, headers: Record<string, string> = {}): RequestInit => ({
  method,
  headers: { "Content-Type": "application/json", ...headers },
  body: JSON.stringify(body),
});
const YEAR_MS = 365 * 24 * 3600 * 1000;
const id = encodeURIComponent;

async function answer<T>(path: string, init: RequestInit): Promise<T> {
  return (await (await request(path, init)).json()) as T;
}

export const deliveryApi = {
  me: () => get<Me>("/v1/me"),
  register: (store: NewStore) => answer<Store>("/v1/stores", json("POST", store)),
  putMenu: (store: string, items: Partial<Item>[], version: number) =>
    answer<Menu>(`/v1/stores/${id(store)}/menu`, json("PUT", { items }, { "If-Match": `"${version}"` })),
  soldOut: (store: string, item_id: string, sold_out: boolean) =>
    answer<Menu>(`/v1/stores/${id(store)}/sold-out`, json("PUT", { item_id, sold_out })),
  /** By hand, until it is opened again (a year is for ever in this trade). */
  close: (store: string, closed: boolean) => {
    const until = closed ? new Date(Date.now() + YEAR_MS).toISOString() : null;
    return answer<Store>(`/v1/stores/${id(store)}/closed`, json("PUT", { closed, until }));
  },
  stores: async (query: { lat?: number; lon?: number; q?: string; category?: string }, signal?: AbortSignal) =>
    (await get<{ stores: StoreCard[] }>("/v1/stores", query, signal)).stores,
  store: (store: string) => get<StorePage>(`/v1/stores/${id(store)}`),
  orders: async (query: Record<string, string | number | undefined> = {}) => (await deliveryApi.page(query)).orders,
  /** Newest first; `before: next_before` continues. */
  page: (query: Record<string, string | number | undefined>, signal?: AbortSignal) =>
    get<{ orders: Order[]; next_before: string | null }>("/v1/orders", query, signal),
  /** The view of an order that was placed just now may be a moment behind: this waits for it. */
  order: (order: string, at_least_version = 1) => get<Order>(`/v1/orders/${id(order)}`, { at_least_version }),
  /** As of that version: the arrival follows the order by a moment. */
  eta: ({ order_id, version }: Order) => get<Eta>(`/v1/orders/${id(order_id)}/eta`, { at_least_version: version }),
  late: async () => (await get<{ orders: (Eta & { order_id: string })[] }>("/v1/eta/late")).orders,
  calibration: (days: number) => get<Calibration>("/v1/eta/calibration", { days }),
  riderOf: (order: string) => get<RiderPlace>(`/v1/orders/${id(order)}/rider`),
  route: (from: Place, to: Place, signal?: AbortSignal) =>
    get<Route>("/v1/routes", { from: `${from.latitude},${from.longitude}`, to: `${to.latitude},${to.longitude}` }, signal),
  unassigned: () => get<Unassigned>("/v1/dispatch/unassigned"),
  audit: async (order: string) => (await get<{ events: AuditLine[] }>(`/v1/orders/${id(order)}/audit`)).events,
  place: (wish: Wish, key: string) => answer<Order>("/v1/orders", json("POST", wish, { "Idempotency-Key": key })),
  command: (order: Order, command: Command, body: Record<string, unknown> = {}) =>
    answer<Order>(
      `/v1/orders/${id(order.order_id)}/${command}`,
      json("POST", { expected_version: order.version, ...body }, { "Idempotency-Key": randomKey() }),
    ),
  /** To whatever version the order is at: it may have been reported long ago. */
  report: (order: string, command: Command, body: Record<string, unknown>) =>
    answer<Order>(`/v1/orders/${id(order)}/${command}`, json("POST", body)),
  async photo(order: string, file: Blob): Promise<Proof> {
    const init = { method: "POST", headers: { "Content-Type": file.type }, body: file };
    return answer<Proof>(`/v1/orders/${id(order)}/proof/photo`, init);
  },
  signature: (order: string, path: string, width: number, height: number) =>
    answer<Proof>(`/v1/orders/${id(order)}/proof/signature`, json("POST", { path, width, height })),
  proof: async (order: Order) => (await request(`/v1/orders/${id(order.order_id)}/proof`)).blob(),
  duty: (on: boolean) => answer<Standing>("/v1/riders/me/duty", json("POST", { on })),
  standing: () => get<Standing>("/v1/riders/me/offer"),
  async answerOffer(offer: string, word: "accept" | "decline"): Promise<void> {
    await request(`/v1/offers/${id(offer)}/${word}`, json("POST", {}));
  },
};
