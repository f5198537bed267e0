// What the page shows: section, selected rider, layers. The view and the rider are in the address, so a
// link shows a colleague the same thing.

import { untrack } from "svelte";
import type { MapConfig } from "../api/types";

export type Section = "riders" | "fences" | "quarantine" | "health";
export type SheetSize = "peek" | "half" | "full";

export interface Place {
  latitude: number;
  longitude: number;
  zoom: number;
}

class UiState {
  section = $state<Section>("riders");
  /** Phone: how far the sheet is up. Desktop: "peek" is a closed panel. */
  sheet = $state<SheetSize>("half");
  selected = $state("");
  following = $state(false);
  cells = $state(false);
  fences = $state(true);
  names = $state(false);

  open(section: Section): void {
    this.section = section;
    this.selected = "";
    if (this.sheet === "peek") this.sheet = "half";
  }

  select(id: string): void {
    this.selected = id;
    this.following = false;
    if (id && this.sheet === "peek") this.sheet = "half";
  }
}

export const ui = new UiState();

/** `#zoom/latitude/longitude/rider` → where to start. */
export function startPlace(config: MapConfig): Place {
  const [zoom, latitude, longitude, rider] = location.hash.slice(1).split("/");
  if (rider) ui.select(decodeURIComponent(rider));
  const numbers = [zoom, latitude, longitude].map((part) => (part ? Number(part) : NaN));
  const [z, lat, lon] = numbers as [number, number, number];
  const valid = numbers.every(Number.isFinite) && Math.abs(lat) <= 90 && Math.abs(lon) <= 180;
  return valid
    ? { zoom: z, latitude: lat, longitude: lon }
    : { zoom: config.zoom, latitude: config.latitude, longitude: config.longitude };
}

export function rememberPlace({ zoom, latitude, longitude }: Place): void {
  const rider = untrack(() => ui.selected);
  const parts = [zoom.toFixed(2), latitude.toFixed(5), longitude.toFixed(5), ...(rider ? [encodeURIComponent(rider)] : [])];
  history.replaceState(null, "", `#${parts.join("/")}`);
}
