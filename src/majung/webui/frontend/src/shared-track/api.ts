// Share links: for whoever makes them (signed in), and the shape of what is seen through one.

import { get, request } from "../api/client";
import type { Eta, OrderState } from "../delivery/types";

export interface SharedOrder {
  version: number;
  state: OrderState;
  store_name: string;
  store_latitude: number;
  store_longitude: number;
  /** About there: the door is within `radius_m`. */
  destination: { latitude: number; longitude: number; radius_m: number };
  placed_at_ms: number;
  accepted_at_ms: number;
  cooking_minutes: number;
  ready_at_ms: number;
  picked_up_at_ms: number;
  departed_at_ms: number;
  ended_at_ms: number;
}

/** `near`: on the last stretch, where no place is told. */
export interface SharedPosition {
  at_ms: number;
  latitude: number | null;
  longitude: number | null;
  near: boolean;
}

export interface SharedTrack {
  order: SharedOrder;
  rider: SharedPosition | null;
  eta: Eta | null;
  expires_ms: number;
}

export interface NewShare {
  share_id: string;
  path: string;
  expires_ms: number;
}

export interface Share {
  share_id: string;
  expires_ms: number;
  revoked_at_ms?: number | null;
}

export const LASTS = ["30m", "2h", "6h"] as const;
export type Lasts = (typeof LASTS)[number];

const of = (order: string) => `/v1/orders/${encodeURIComponent(order)}/shares`;

export const sharesApi = {
  async make(order: string, lasts: Lasts): Promise<NewShare> {
    const headers = { "Content-Type": "application/json" };
    const made = await request(of(order), { method: "POST", headers, body: JSON.stringify({ for: lasts }) });
    return (await made.json()) as NewShare;
  },
  /** Those that are still open. */
  async open(order: string): Promise<Share[]> {
    const { shares } = await get<{ shares: Share[] }>(of(order));
    return shares.filter(({ expires_ms, revoked_at_ms }) => !revoked_at_ms && expires_ms > Date.now());
  },
  async revoke(order: string, share: string): Promise<void> {
    await request(`${of(order)}/${encodeURIComponent(share)}`, { method: "DELETE" });
  },
};
