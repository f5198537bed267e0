// The calls of the webhook section (webhooks/model.py). Fields that have nothing to say are left out.

import { get, request } from "../api/client";

export interface Webhook {
  webhook_id: string;
  url: string;
  events: string[];
  state: "active" | "paused" | "disabled";
  made_by: string;
  created_at_ms: number;
  description?: string;
  store_id?: string;
  reason?: string;
  waiting?: number;
  dead?: number;
  oldest_waiting_ms?: number;
  behind?: boolean;
  failing_since_ms?: number;
  last_success_ms?: number;
  last_failure_ms?: number;
  last_problem?: string;
  old_secret_until_ms?: number;
}

export interface Delivery {
  number: number;
  event_id: string;
  type: string;
  subject: string;
  status: "waiting" | "done" | "dead";
  at_ms: number;
  attempts: number;
  request: string;
  next_at_ms?: number;
  tried_at_ms?: number;
  took_ms?: number;
  http_status?: number;
  problem?: string;
  answer?: string;
}

export interface Attempt {
  ok: boolean;
  http_status: number;
  took_ms: number;
  problem?: string;
}

export interface Made {
  webhook: Webhook;
  secret: string;
}

async function send<T>(method: string, path: string, body?: unknown): Promise<T> {
  const init = { method, headers: { "Content-Type": "application/json" }, body: body === undefined ? null : JSON.stringify(body) };
  const response = await request(path, init);
  return (response.status === 204 ? undefined : await response.json()) as T;
}

const at = (id: string) => `/v1/webhooks/${encodeURIComponent(id)}`;

export const webhookApi = {
  list: () => get<{ webhooks: Webhook[]; types: string[] }>("/v1/webhooks"),
  add: (url: string, events: string[], description: string) => send<Made>("POST", "/v1/webhooks", { url, events, description }),
  activate: (id: string, active: boolean) => send<Webhook>("PATCH", at(id), { active }),
  remove: (id: string) => send<void>("DELETE", at(id)),
  rotate: (id: string) => send<Made>("POST", `${at(id)}/secret`),
  ping: (id: string) => send<Attempt>("POST", `${at(id)}/ping`),
  deliveries: (id: string, status: string) =>
    get<{ deliveries: Delivery[]; next_before: number | null }>(`${at(id)}/deliveries`, { status: status || undefined, limit: 30 }),
  replay: async (id: string, wish: { deliveries?: number[]; status?: string }) =>
    (await send<{ replayed: number }>("POST", `${at(id)}/replay`, wish)).replayed,
};
