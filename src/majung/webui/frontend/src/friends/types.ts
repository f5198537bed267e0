// What the server says of people, friends and places (friends/model.py, consent.py). Times are Unix milliseconds
// (`_ms`), lengths metres (`_m`), places WGS 84 degrees. The server leaves out what is the default: api.ts adds it.

export type Mode = "off" | "blurred" | "exact";

/** Characters of a geohash cell: 3 is 156 km wide, 7 is 153 m. */
export type Precision = 3 | 4 | 5 | 6 | 7;
export const PRECISIONS: readonly Precision[] = [7, 6, 5, 4, 3];

/** One decision. `until_ms` null: until it is changed. */
export interface Sharing {
  mode: Mode;
  precision: Precision;
  until_ms: number | null;
  history: boolean;
}

/** What somebody sees of somebody now. `history_from_ms` null: no history. */
export interface Seen {
  mode: Mode;
  precision: number;
  history_from_ms: number | null;
  until_ms: number | null;
}

export interface Me {
  person_id: string;
  name: string;
  display_name: string;
  radius_m: number;
  sharing: Sharing;
  ghost: boolean;
  ghost_until_ms: number | null;
}

/** `sharing`: what I decided for this friend alone; `gives`: what the friend sees of me now; `gets`: the other way. */
export interface Friend {
  person_id: string;
  name: string;
  display_name: string;
  since_ms: number;
  gives: Seen;
  gets: Seen;
  sharing: Sharing | null;
  groups: string[];
}

export interface Bounds {
  south: number;
  west: number;
  north: number;
  east: number;
}

/** With `bounds` it is blurred: the place is the middle of the square, the time is rounded down. */
export interface Place {
  person_id: string;
  latitude: number;
  longitude: number;
  device_time_ms: number;
  accuracy_m?: number | null;
  cell?: string;
  bounds?: Bounds | null;
}

export interface Near {
  display_name: string;
  /** null: nobody knows where I am. */
  distance_m: number | null;
  place: Place;
}

export interface Here {
  latitude: number;
  longitude: number;
  device_time_ms?: number;
}

export interface NearList {
  at_ms: number;
  radius_m: number;
  here: Here | null;
  near: Near[];
}

export type LiveMessage =
  | ({ type: "snapshot" } & NearList)
  | { type: "near"; entered: boolean; friend: Near }
  | { type: "left"; person_id: string; reason: "away" | "gone"; at_ms: number }
  | { type: "distances"; distances: Record<string, number>; at_ms: number }
  | { type: "friends_changed" };
