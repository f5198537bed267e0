// The calls of the friends page. The server leaves out what is the default; here it is put back.

import { get, request } from "../api/client";
import type { Friend, Me, NearList, Place, Seen, Sharing } from "./types";

/** Who is no friend (yet, or any more). */
export interface Person {
  person_id: string;
  name: string;
  display_name: string;
  at_ms: number;
}

/** A request that I made, by the name that I made it to. */
export interface Asked {
  request_id: string;
  name: string;
  at_ms: number;
}

export interface Invitation {
  invitation_id: string;
  expires_ms: number;
}

export interface NewInvitation extends Invitation {
  url: string;
  path: string;
}

export interface Group {
  group_id: string;
  name: string;
  members: string[];
  sharing: Sharing | null;
}

/** A decision as it is made: for a time, until a moment, or (neither) until it is changed. */
export interface Wish {
  mode: Sharing["mode"];
  precision?: number;
  history?: boolean;
  for?: string;
  until_ms?: number;
}

export interface Phone {
  device_id: string;
  name?: string;
  created_at_ms: number;
}

/** A phone's credential, told once; `link` opens OwnTracks on the phone itself. */
export interface NewPhone {
  device_id: string;
  token: string;
  otrc: Record<string, unknown>;
  link: string;
}

export interface TrackPoint {
  latitude: number;
  longitude: number;
  device_time_ms: number;
}

export type MeChange = Partial<{ display_name: string; radius_m: number; ghost: boolean; ghost_for: string; ghost_until_ms: number; sharing: Wish }>;

type Lean<T> = Partial<T>;
const PATH = "/v1/friends";
const of = (...parts: string[]) => [PATH, ...parts.map(encodeURIComponent)].join("/");

const sharingOf = (lean: Lean<Sharing> | null | undefined): Sharing => ({
  mode: lean?.mode ?? "off",
  precision: lean?.precision ?? 5,
  until_ms: lean?.until_ms ?? null,
  history: lean?.history ?? false,
});
const seenOf = (lean: Lean<Seen>): Seen => ({
  mode: lean.mode ?? "off",
  precision: lean.precision ?? 0,
  history_from_ms: lean.history_from_ms ?? null,
  until_ms: lean.until_ms ?? null,
});
const meOf = (lean: Lean<Me> & Pick<Me, "person_id" | "name" | "display_name" | "radius_m">): Me => ({
  ...lean,
  sharing: sharingOf(lean.sharing),
  ghost: lean.ghost ?? false,
  ghost_until_ms: lean.ghost_until_ms ?? null,
});
const friendOf = (lean: Friend): Friend => ({
  ...lean,
  gives: seenOf(lean.gives),
  gets: seenOf(lean.gets),
  sharing: lean.sharing ? sharingOf(lean.sharing) : null,
  groups: lean.groups ?? [],
});
const groupOf = (lean: Group): Group => ({ ...lean, members: lean.members ?? [], sharing: lean.sharing ? sharingOf(lean.sharing) : null });

function json(method: string, body?: unknown): RequestInit {
  if (body === undefined) return { method };
  return { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
}

async function made<T>(path: string, body: unknown, method = "POST"): Promise<T> {
  return (await (await request(path, json(method, body))).json()) as T;
}

async function done(path: string, method: string, body?: unknown): Promise<void> {
  await request(path, json(method, body));
}

export const friendsApi = {
  me: async () => meOf(await get<Me>(of("me"))),
  change: async (change: MeChange) => meOf(await made<Me>(of("me"), change, "PATCH")),
  friends: async () => (await get<{ friends: Friend[] }>(PATH)).friends.map(friendOf),
  share: (id: string, wish: Wish | null) => (wish ? done(of(id, "sharing"), "PUT", wish) : done(of(id, "sharing"), "DELETE")),
  remove: (id: string) => done(of(id), "DELETE"),
  block: (id: string) => done(of(id, "block"), "POST"),
  unblock: (id: string) => done(of(id, "block"), "DELETE"),
  blocked: async () => (await get<{ blocked: Person[] }>(of("blocked"))).blocked,

  invitations: async () => (await get<{ invitations: Invitation[] }>(of("invitations"))).invitations,
  invite: () => made<NewInvitation>(of("invitations"), undefined),
  takeBack: (id: string) => done(of("invitations", id), "DELETE"),
  inviter: (token: string) => get<Person>(of("invitations", "by-token", token)),
  accept: (token: string) => made<{ person_id: string }>(of("invitations", "accept"), { token }),

  requests: () => get<{ incoming: Person[]; outgoing: Asked[] }>(of("requests")),
  ask: (name: string) => done(of("requests"), "POST", { name }),
  answer: (person_id: string, word: "accept" | "decline") => done(of("requests", person_id, word), "POST"),
  unask: (request_id: string) => done(of("requests", request_id), "DELETE"),

  groups: async () => (await get<{ groups: Group[] }>(of("groups"))).groups.map(groupOf),
  makeGroup: (name: string) => made<Group>(of("groups"), { name }),
  changeGroup: (id: string, change: { name?: string; sharing?: Wish; no_sharing?: boolean }) => done(of("groups", id), "PATCH", change),
  dropGroup: (id: string) => done(of("groups", id), "DELETE"),
  join: (id: string, person_id: string) => done(of("groups", id, "members", person_id), "PUT"),
  part: (id: string, person_id: string) => done(of("groups", id, "members", person_id), "DELETE"),

  nearby: (radius_m: number) => get<NearList>(of("nearby"), { radius_m }),
  place: (id: string) => get<Place>(of(id, "position")),
  track: async (id: string, from_ms: number, to_ms: number) =>
    (await get<{ points: TrackPoint[] }>(of(id, "track"), { from_ms, to_ms, format: "json" })).points,

  phones: async () => (await get<{ devices: Phone[] }>(of("devices"))).devices,
  addPhone: (name: string) => made<NewPhone>(of("devices"), { name }),
  dropPhone: (id: string) => done(of("devices", id), "DELETE"),

  exportMe: async () => (await request(of("me", "export"))).blob(),
  dropHistory: () => done(of("me", "history"), "DELETE"),
  dropMe: (password: string) => done(of("me"), "DELETE", { password }),
};

