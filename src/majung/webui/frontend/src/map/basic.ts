// A map as the pages for everybody use it: what lies under it, light and dark, without rotation.

import * as maplibre from "maplibre-gl";
import workerUrl from "maplibre-gl/dist/maplibre-gl-worker.mjs?url";
import "maplibre-gl/dist/maplibre-gl.css";
import { api } from "../api/client";
import type { MapConfig } from "../api/types";
import { i18n } from "../i18n/index.svelte";
import { addOutlines } from "./outlines";
import { baseStyle, isTemplate } from "./style";
import { currentTheme, onThemeChange } from "./theme";

export interface BasicMap {
  map: maplibre.Map;
  remove: () => void;
}

interface Start {
  longitude: number;
  latitude: number;
  zoom: number;
}

/** Build a map when it is known what lies under it; gives what takes it away, also before it is built. */
export function onceConfigured(build: (config: MapConfig) => () => void): () => void {
  let remove = () => undefined as void;
  let gone = false;
  void api.config().then((config) => {
    if (!gone) remove = build(config);
  }, console.warn);
  return () => {
    gone = true;
    remove();
  };
}

/** Take the markers away that are not wanted any more. */
export function keepOnly(markers: Map<string, maplibre.Marker>, wanted: ReadonlySet<string>): void {
  for (const [id, marker] of markers) {
    if (wanted.has(id)) continue;
    marker.remove();
    markers.delete(id);
  }
}

/** `styled` is called each time that the style is there anew, without what was drawn. Null: no WebGL. */
export function basicMap(container: HTMLElement, config: MapConfig, start: Start, styled: (map: maplibre.Map) => void): BasicMap | null {
  maplibre.setWorkerUrl(workerUrl);
  const style = () => baseStyle(config, currentTheme());
  let map: maplibre.Map;
  try {
    map = new maplibre.Map({
      container,
      style: style(),
      center: [start.longitude, start.latitude],
      zoom: start.zoom,
      minZoom: 3,
      maxZoom: 19,
      dragRotate: false,
      attributionControl: false,
    });
  } catch (error) {
    console.warn("map:", error);
    return null;
  }
  map.touchZoomRotate.disableRotation();
  const customAttribution = config.tile_url ? config.tile_attribution : i18n.t.map.attribution;
  map.addControl(new maplibre.AttributionControl({ compact: true, customAttribution }), "bottom-right");
  let unfurnish = () => undefined as void;
  map.on("style.load", () => {
    unfurnish();
    if (!config.tile_url || isTemplate(config.tile_url)) unfurnish = addOutlines(map, currentTheme(), i18n.language);
    styled(map);
  });
  map.once("load", () => container.querySelector(".maplibregl-compact-show")?.classList.remove("maplibregl-compact-show"));
  map.on("error", ({ error }) => console.warn("map:", error.message));
  const unwatch = onThemeChange(() => map.setStyle(style(), { diff: false }));
  const remove = () => {
    unwatch();
    unfurnish();
    map.remove();
  };
  return { map, remove };
}
