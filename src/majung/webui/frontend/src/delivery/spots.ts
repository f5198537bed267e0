// What a small map shows.

import type { Place, Route } from "./types";

export interface Spot {
  id: string;
  /** `about`: somewhere around here. */
  kind: "store" | "home" | "rider" | "about";
  latitude: number;
  longitude: number;
  label?: string;
  dim?: boolean;
  /** The last place that was heard of, which may be another by now. */
  old?: boolean;
}

/** Spots and a way; or, with `pinned`, a pin in the middle that a place is set with. */
export interface MapProps {
  spots?: Spot[];
  route?: Route | null;
  centre?: Place | null;
  /** How near to look at `centre`; else near enough to see a door. */
  zoom?: number | undefined;
  pinned?: (place: Place) => void;
  picked?: ((id: string) => void) | undefined;
  label: string;
}
