// The one map of the page, for whoever wants to move it.

import type { Area } from "../api/types";
import type { Engine } from "./engine";

class MapState {
  engine = $state.raw<Engine | null>(null);
  view = $state.raw<Area | null>(null);

  flyTo(latitude: number, longitude: number, zoom?: number): void {
    this.engine?.flyTo(latitude, longitude, zoom);
  }

  fit(box: Area, maxZoom?: number): void {
    this.engine?.fit(box, undefined, maxZoom);
  }
}

export const mapState = new MapState();
