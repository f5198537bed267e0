// The built-in map: countries of the world, provinces and districts of South Korea, neighbourhoods of Seoul.
// Each file is fetched when the view comes near enough to need it (see scripts/build_outlines.py).

import type { ExpressionSpecification, GeoJSONSource, LayerSpecification, Map as MapLibre } from "maplibre-gl";
import districts from "../../generated/sigungu.json?url";
import neighbourhoods from "../../generated/dong.json?url";
import provinces from "../../generated/sido.json?url";
import world from "../../generated/world.json?url";
import type { Language } from "../i18n/index.svelte";
import { FONT } from "./style";
import type { MapTheme } from "./theme";
import { countries, type Topology } from "./topology";

interface Outline {
  id: string;
  url: string;
  fromZoom: number;
  /** west, south, east, north; nothing is fetched while the view is elsewhere. */
  bounds?: [number, number, number, number];
}

const KOREA: [number, number, number, number] = [124, 32.8, 132, 39];
const OUTLINES: Outline[] = [
  { id: "world", url: world, fromZoom: 0 },
  { id: "sido", url: provinces, fromZoom: 0 },
  { id: "sigungu", url: districts, fromZoom: 7.5, bounds: KOREA },
  { id: "dong", url: neighbourhoods, fromZoom: 10.5, bounds: [126.7, 37.4, 127.25, 37.72] },
];
/** From here on the districts are the land; the coarser provinces would lie beside them. */
const FINE_FROM = 9.5;
const FADING: ExpressionSpecification = ["interpolate", ["linear"], ["zoom"], 8, 1, 10.5, 0.55];
const EMPTY = { type: "FeatureCollection" as const, features: [] };
const fetched = new Map<string, Promise<GeoJSON.FeatureCollection>>();

/** Add the layers, below everything else, and load what the view needs now and later. */
export function addOutlines(map: MapLibre, theme: MapTheme, language: Language): () => void {
  for (const { id } of OUTLINES) map.addSource(`outline-${id}`, { type: "geojson", data: EMPTY, tolerance: 0.3 });
  const above = map.getLayer("tiles") ? "tiles" : undefined; // tiles that have come cover the outlines
  for (const layer of layers(theme, language)) map.addLayer(layer, above);
  const loaded = new Set<string>();
  const load = () => {
    for (const outline of OUTLINES) {
      if (loaded.has(outline.id) || !needed(map, outline)) continue;
      loaded.add(outline.id);
      void data(outline)
        .then((found) => map.getSource<GeoJSONSource>(`outline-${outline.id}`)?.setData(found))
        .catch(() => loaded.delete(outline.id));
    }
  };
  load();
  map.on("moveend", load);
  return () => map.off("moveend", load);
}

function needed(map: MapLibre, { fromZoom, bounds }: Outline): boolean {
  if (map.getZoom() < fromZoom - 0.5) return false;
  if (!bounds) return true;
  const view = map.getBounds();
  return view.getWest() < bounds[2] && view.getEast() > bounds[0] && view.getSouth() < bounds[3] && view.getNorth() > bounds[1];
}

function data({ id, url }: Outline): Promise<GeoJSON.FeatureCollection> {
  let promise = fetched.get(id);
  if (!promise) {
    promise = fetch(url).then(async (response) => {
      if (!response.ok) throw new Error(`${url}: ${response.status}`);
      const value: unknown = await response.json();
      return id === "world" ? countries(value as Topology) : (value as GeoJSON.FeatureCollection);
    });
    promise.catch(() => fetched.delete(id));
    fetched.set(id, promise);
  }
  return promise;
}

function layers(theme: MapTheme, language: Language): LayerSpecification[] {
  const name: ExpressionSpecification = ["coalesce", ["get", language], ["get", "en"]];
  const polygons: ExpressionSpecification = ["!=", ["geometry-type"], "Point"];
  const points: ExpressionSpecification = ["==", ["geometry-type"], "Point"];
  const line = (id: string, color: string, width: [number, number][], from = 0, to = 24): LayerSpecification => ({
    id: `outline-${id}-line`,
    type: "line",
    source: `outline-${id}`,
    minzoom: from,
    maxzoom: to,
    filter: polygons,
    layout: { "line-join": "round" },
    paint: { "line-color": color, "line-width": ["interpolate", ["linear"], ["zoom"], ...width.flat()] },
  });
  const fill = (id: string, color: string, from = 0, to = 24): LayerSpecification => ({
    id: `outline-${id}-fill`,
    type: "fill",
    source: `outline-${id}`,
    minzoom: from,
    maxzoom: to,
    filter: polygons,
    paint: { "fill-color": color, "fill-antialias": false },
  });
  const label = (id: string, from: number, to: number, size: [number, number], color: string): LayerSpecification => ({
    id: `outline-${id}-label`,
    type: "symbol",
    source: `outline-${id}`,
    minzoom: from,
    maxzoom: to,
    filter: points,
    layout: {
      "text-field": name,
      "text-font": FONT,
      "text-size": ["interpolate", ["linear"], ["zoom"], from, size[0], Math.min(to, from + 4), size[1]],
      "text-padding": 6,
      "text-max-width": 7,
    },
    paint: { "text-color": color, "text-halo-color": theme.halo, "text-halo-width": 1.4, "text-halo-blur": 0.4 },
  });
  return [
    // Coasts of 1:50 million are kilometres off in a city: they fade where they would mislead.
    { ...fill("world", theme.land), paint: { "fill-color": theme.land, "fill-antialias": false, "fill-opacity": FADING } } as LayerSpecification,
    fill("sido", theme.landKorea, 0, FINE_FROM),
    fill("sigungu", theme.landKorea, FINE_FROM),
    line("world", theme.coast, [[2, 0.5], [8, 1.2], [10.5, 0.3]]),
    line("dong", theme.neighbourhood, [[11, 0.5], [15, 1.6]], 10.8),
    line("sigungu", theme.district, [[8, 0.5], [15, 2]], 7.5),
    line("sido", theme.province, [[5, 0.6], [9, 1.4]], 0, FINE_FROM),
    label("world", 2, 8, [10, 15], theme.label),
    label("sido", 5.5, 9, [11, 16], theme.labelStrong),
    label("sigungu", 9, 13, [11, 15], theme.labelStrong),
    label("dong", 12.2, 24, [10.5, 15], theme.label),
  ];
}
