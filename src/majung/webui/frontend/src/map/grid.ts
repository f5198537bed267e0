// Lines of latitude and longitude, as dense as the view allows: something to lie on where nothing else is.

import type { GeoJSONSource, Map as MapLibre } from "maplibre-gl";
import { FONT } from "./style";
import type { MapTheme } from "./theme";

const STEPS = [45, 30, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001];
const LINES_ACROSS = 6;

export function addGrid(map: MapLibre, theme: MapTheme): () => void {
  map.addSource("grid", { type: "geojson", data: lines(map) });
  map.addLayer({
    id: "grid-line",
    type: "line",
    source: "grid",
    paint: { "line-color": theme.grid, "line-width": 0.5, "line-opacity": 0.4 },
  });
  map.addLayer({
    id: "grid-label",
    type: "symbol",
    source: "grid",
    minzoom: 3,
    layout: {
      "symbol-placement": "line",
      "symbol-spacing": 480,
      "text-field": ["get", "name"],
      "text-font": FONT,
      "text-size": 9.5,
      "text-offset": [0, -0.7],
      "text-padding": 12,
    },
    paint: { "text-color": theme.grid, "text-halo-color": theme.halo, "text-halo-width": 1 },
  });
  const update = () => map.getSource<GeoJSONSource>("grid")?.setData(lines(map));
  map.on("moveend", update);
  return () => map.off("moveend", update);
}

function lines(map: MapLibre): GeoJSON.FeatureCollection {
  const view = map.getBounds();
  const across = Math.max(view.getEast() - view.getWest(), view.getNorth() - view.getSouth());
  const step = STEPS.find((size) => across / size >= LINES_ACROSS) ?? 0.001;
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const west = Math.max(-180, view.getWest() - across / 2);
  const east = Math.min(180, view.getEast() + across / 2);
  const south = Math.max(-85, view.getSouth() - across / 2);
  const north = Math.min(85, view.getNorth() + across / 2);
  const features: GeoJSON.Feature[] = [];
  const add = (coordinates: [number, number][], value: number, letters: string) => {
    const name = `${Math.abs(value).toFixed(digits)}°${value === 0 ? "" : letters[value > 0 ? 0 : 1]}`;
    features.push({ type: "Feature", properties: { name }, geometry: { type: "LineString", coordinates } });
  };
  for (let i = Math.ceil(west / step); i * step <= east; i++) add([[i * step, south], [i * step, north]], i * step, "EW");
  for (let i = Math.ceil(south / step); i * step <= north; i++) add([[west, i * step], [east, i * step]], i * step, "NS");
  return { type: "FeatureCollection", features };
}
