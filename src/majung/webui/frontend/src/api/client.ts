// One function for every call to the server: bearer token, one retry after a refresh, problem details.

import { session, SignInError } from "./session.svelte";
import type {
  CellLoad,
  Fence,
  LivePosition,
  MapConfig,
  NewFence,
  QuarantinePage,
  RiderEvent,
  Stats,
  Track,
} from "./types";

/** An answer that is no success. `status` 0 means that the server was not reached. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly title: string,
    readonly detail: string,
    /** The whole of the problem details: some kinds say more. */
    readonly body: Readonly<Record<string, unknown>> = {},
  ) {
    super(detail || title);
  }
}

async function send(path: string, init: RequestInit): Promise<Response> {
  const headers = new Headers(init.headers);
  try {
    headers.set("Authorization", `Bearer ${await session.bearer()}`);
    return await fetch(path, { ...init, headers });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    if (error instanceof SignInError && error.status > 0) throw new ApiError(error.status, "signed out", "");
    throw new ApiError(0, "server not reached", "");
  }
}

export async function request(path: string, init: RequestInit = {}): Promise<Response> {
  let response = await send(path, init);
  if (response.status === 401) {
    await session.refresh().catch(() => undefined);
    if (session.tokens) response = await send(path, init);
    if (response.status === 401) session.signOut(true);
  }
  if (!response.ok) throw await problem(response);
  return response;
}

/** RFC 9457 problem details, or whatever else came. */
export async function problem(response: Response): Promise<ApiError> {
  const text = await response.text().catch(() => "");
  try {
    const body = JSON.parse(text) as { title?: string; detail?: string };
    return new ApiError(response.status, body.title ?? response.statusText, body.detail ?? "", body);
  } catch {
    return new ApiError(response.status, response.statusText, "");
  }
}

export async function get<T>(path: string, query: Record<string, string | number | undefined> = {}, signal?: AbortSignal) {
  const response = await request(withQuery(path, query), { signal: signal ?? null });
  return (await response.json()) as T;
}

function withQuery(path: string, query: Record<string, string | number | undefined>): string {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== "");
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return text ? `${path}?${text}` : path;
}

function listOf<T>(answer: T[] | Record<string, T[]>, name: string): T[] {
  return Array.isArray(answer) ? answer : (answer[name] ?? []);
}

/** Like crypto.randomUUID, which browsers offer on secure origins only. */
export function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const rfc3339 = (ms: number) => new Date(ms).toISOString();
const rider = (id: string) => `/v1/riders/${encodeURIComponent(id)}`;

let config: Promise<MapConfig> | null = null;

async function readConfig(): Promise<MapConfig> {
  const response = await fetch("/v1/map/config.json");
  if (!response.ok) throw await problem(response);
  return (await response.json()) as MapConfig;
}

export type ExportFormat = "gpx" | "geojson" | "csv";

export const api = {
  /** Needs no sign-in: the map is drawn behind the sign-in page. */
  config(): Promise<MapConfig> {
    // Asked once: the next map may be needed where there is no network.
    config ??= readConfig().catch((error: unknown) => {
      config = null;
      throw error;
    });
    return config;
  },
  /** Make an account; signing in comes after it. */
  async signUp(name: string, password: string, role: string): Promise<void> {
    const body = JSON.stringify({ name, password, role });
    const response = await fetch("/v1/sign-up", { method: "POST", headers: { "Content-Type": "application/json" }, body });
    if (!response.ok) throw await problem(response);
  },
  /** Whether anybody may make an account of this kind. */
  async opensFor(role: string): Promise<boolean> {
    const response = await fetch("/v1/sign-up");
    return response.ok && ((await response.json()) as { roles: string[] }).roles.includes(role);
  },
  me: () => get<{ subject: string; role: string }>("/v1/me"),
  stats: (signal?: AbortSignal) => get<Stats>("/v1/stats", {}, signal),
  async cells(): Promise<CellLoad[]> {
    return listOf(await get<CellLoad[] | Record<string, CellLoad[]>>("/v1/cells"), "cells");
  },
  position: (id: string) => get<LivePosition>(`${rider(id)}/position`),
  track: (id: string, from: number, to: number, simplify_m: number, signal?: AbortSignal) =>
    get<Track>(
      `${rider(id)}/track`,
      { from: rfc3339(from), to: rfc3339(to), format: "json", simplify_m: simplify_m || undefined },
      signal,
    ),
  async exportTrack(id: string, from: number, to: number, format: ExportFormat): Promise<Blob> {
    const query = { from: rfc3339(from), to: rfc3339(to), format };
    return (await request(withQuery(`${rider(id)}/track`, query))).blob();
  },
  quarantine: (query: { limit: number; before_id?: number; reason?: string; rider_id?: string }) =>
    get<QuarantinePage>("/v1/quarantine", query),
  async fences(): Promise<Fence[]> {
    return listOf(await get<Fence[] | Record<string, Fence[]>>("/v1/fences"), "fences");
  },
  async createFence(fence: NewFence): Promise<Fence> {
    const response = await request("/v1/fences", {
      method: "POST",
      headers: { "Content-Type": "application/json", "Idempotency-Key": randomKey() },
      body: JSON.stringify(fence),
    });
    return (await response.json()) as Fence;
  },
  async deleteFence(id: string): Promise<void> {
    await request(`/v1/fences/${encodeURIComponent(id)}`, { method: "DELETE" });
  },
  async events(limit: number): Promise<RiderEvent[]> {
    return listOf(await get<RiderEvent[] | Record<string, RiderEvent[]>>("/v1/events", { limit }), "events");
  },
};
