// Addresses: asked from the server, and the last ones that were used, which stay on this device.

import { get } from "../api/client";
import type { Address, Place } from "../delivery/types";

/** An address that may be meant; the true place is within `precision_m` of the coordinates. */
export interface Candidate extends Place {
  text: string;
  precision: Address["precision"];
  precision_m: number;
  postcode: string;
}

export interface Candidates {
  candidates: Candidate[];
  source: "streets" | "preparing" | "neighbourhoods" | "none";
}

export const findAddresses = (q: string, near: Place | null, signal: AbortSignal) =>
  get<Candidates>("/v1/addresses", { q, lat: near?.latitude, lon: near?.longitude, limit: 6 }, signal);

/** The name of the neighbourhood; "" where there is none. */
export async function wordsFor({ latitude, longitude }: Place, signal: AbortSignal): Promise<string> {
  try {
    return (await get<{ text: string }>("/v1/addresses/at", { lat: latitude, lon: longitude }, signal)).text;
  } catch {
    return ""; // abroad, or no names on this server: then people type them
  }
}

const KEY = "majung.addresses";
const MOST = 5;

export function recentAddresses(): Address[] {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(kept) ? (kept as Address[]).slice(0, MOST) : [];
  } catch {
    return [];
  }
}

export function rememberAddress(used: Address): void {
  const others = recentAddresses().filter(({ text, detail }) => text !== used.text || detail !== used.detail);
  localStorage.setItem(KEY, JSON.stringify([used, ...others].slice(0, MOST)));
}

/** Metres between two places that are not far apart. */
export function apart_m(a: Place, b: Place): number {
  const north = (a.latitude - b.latitude) * 111_195;
  const east = (a.longitude - b.longitude) * 111_195 * Math.cos((a.latitude * Math.PI) / 180);
  return Math.hypot(north, east);
}
