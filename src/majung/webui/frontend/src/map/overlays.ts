// What is drawn between the outlines and the riders: cells, fences, the track, clusters, the shape being drawn.

import type { GeoJSONSource, LayerSpecification, Map as MapLibre } from "maplibre-gl";
import { CLUSTERS_BELOW_ZOOM } from "./clusters";
import { FONT } from "./style";
import type { MapTheme } from "./theme";

export type Overlay = "cells" | "fences" | "track" | "clusters" | "draw";
const OVERLAYS: Overlay[] = ["cells", "fences", "track", "clusters", "draw"];
export const NOTHING: GeoJSON.FeatureCollection = { type: "FeatureCollection", features: [] };

/** Members of a cell at which the colour is the next one. */
export const CELL_STEPS = [1, 10, 100, 1000] as const;

/** Under-layers first; the riders' own layer goes on top of them. */
export function addOverlays(map: MapLibre, theme: MapTheme): void {
  for (const id of OVERLAYS) map.addSource(id, { type: "geojson", data: NOTHING });
  for (const layer of [...cells(theme), ...fences(theme), ...track(theme), ...clusterLayers(theme), ...draw(theme)]) {
    map.addLayer(layer);
  }
}

export function setOverlay(map: MapLibre, overlay: Overlay, data: GeoJSON.FeatureCollection): void {
  map.getSource<GeoJSONSource>(overlay)?.setData(data);
}

function cells(theme: MapTheme): LayerSpecification[] {
  const [low, some, many, most] = theme.cells;
  const colour: NonNullable<Extract<LayerSpecification, { type: "fill" }>["paint"]>["fill-color"] = [
    "interpolate", ["linear"], ["log10", ["max", 1, ["get", "members"]]],
    0, low, 1, some, 2, many, 3, most,
  ]; // prettier-ignore
  return [
    { id: "cells-fill", type: "fill", source: "cells", paint: { "fill-color": colour, "fill-opacity": 0.5 } },
    {
      id: "cells-line",
      type: "line",
      source: "cells",
      paint: { "line-color": colour, "line-width": ["match", ["get", "precision"], 8, 1.4, 0.8], "line-opacity": 0.9 },
    },
    {
      id: "cells-label",
      type: "symbol",
      source: "cells",
      minzoom: 13,
      layout: {
        "text-field": ["get", "label"],
        "text-font": FONT,
        "text-size": ["interpolate", ["linear"], ["zoom"], 13, 9.5, 16, 12],
        "text-line-height": 1.35,
      },
      paint: { "text-color": theme.labelStrong, "text-halo-color": theme.halo, "text-halo-width": 1.2 },
    },
  ];
}

function fences(theme: MapTheme): LayerSpecification[] {
  return [
    {
      id: "fences-fill",
      type: "fill",
      source: "fences",
      filter: ["!=", ["geometry-type"], "Point"],
      paint: { "fill-color": theme.fence, "fill-opacity": ["case", ["get", "active"], 0.22, 0.09] },
    },
    {
      id: "fences-line",
      type: "line",
      source: "fences",
      filter: ["!=", ["geometry-type"], "Point"],
      paint: { "line-color": theme.fence, "line-width": ["case", ["get", "active"], 2.6, 1.5] },
    },
    {
      id: "fences-label",
      type: "symbol",
      source: "fences",
      minzoom: 10,
      filter: ["==", ["geometry-type"], "Point"],
      layout: { "text-field": ["get", "name"], "text-font": FONT, "text-size": 12, "text-anchor": "top", "text-offset": [0, 0.3] },
      paint: { "text-color": theme.fence, "text-halo-color": theme.halo, "text-halo-width": 1.6 },
    },
  ];
}

function track(theme: MapTheme): LayerSpecification[] {
  const line = { "line-cap": "round", "line-join": "round" } as const;
  return [
    {
      id: "track-casing",
      type: "line",
      source: "track",
      filter: ["==", ["get", "part"], "line"],
      layout: line,
      paint: { "line-color": theme.halo, "line-width": 6, "line-opacity": 0.8 },
    },
    {
      id: "track-line",
      type: "line",
      source: "track",
      filter: ["==", ["get", "part"], "line"],
      layout: line,
      paint: { "line-color": theme.track, "line-width": 3 },
    },
    {
      id: "track-marked",
      type: "circle",
      source: "track",
      filter: ["==", ["get", "part"], "marked"],
      paint: {
        "circle-radius": 3.5,
        "circle-color": theme.halo,
        "circle-stroke-color": theme.trackBad,
        "circle-stroke-width": 1.6,
      },
    },
    {
      id: "track-ends",
      type: "circle",
      source: "track",
      filter: ["==", ["get", "part"], "end"],
      paint: {
        "circle-radius": 5,
        "circle-color": ["case", ["get", "first"], theme.halo, theme.track],
        "circle-stroke-color": theme.track,
        "circle-stroke-width": 2.4,
      },
    },
  ];
}

function clusterLayers(theme: MapTheme): LayerSpecification[] {
  const group = [">", ["get", "count"], 1] as never;
  return [
    {
      id: "clusters-single",
      type: "circle",
      source: "clusters",
      maxzoom: CLUSTERS_BELOW_ZOOM + 1,
      filter: ["==", ["get", "count"], 1],
      paint: {
        "circle-radius": 4,
        "circle-color": theme.cluster,
        "circle-stroke-color": theme.marker,
        "circle-stroke-width": 1.2,
      },
    },
    {
      id: "clusters-circle",
      type: "circle",
      source: "clusters",
      maxzoom: CLUSTERS_BELOW_ZOOM + 1,
      filter: group,
      paint: {
        "circle-radius": ["interpolate", ["linear"], ["log10", ["get", "count"]], 0.3, 9, 1, 12, 2, 18, 3, 25, 4, 33],
        "circle-color": theme.cluster,
        "circle-opacity": 0.88,
        "circle-stroke-color": theme.cluster,
        "circle-stroke-opacity": 0.25,
        "circle-stroke-width": 5,
      },
    },
    {
      id: "clusters-count",
      type: "symbol",
      source: "clusters",
      maxzoom: CLUSTERS_BELOW_ZOOM + 1,
      filter: group,
      layout: {
        "text-field": ["to-string", ["get", "count"]],
        "text-font": FONT,
        "text-size": ["interpolate", ["linear"], ["log10", ["get", "count"]], 0.3, 10.5, 3, 14],
        "text-allow-overlap": true,
        "text-ignore-placement": true,
      },
      paint: { "text-color": theme.clusterText },
    },
  ];
}

function draw(theme: MapTheme): LayerSpecification[] {
  return [
    { id: "draw-fill", type: "fill", source: "draw", filter: ["==", ["geometry-type"], "Polygon"], paint: { "fill-color": theme.fence, "fill-opacity": 0.18 } },
    {
      id: "draw-line",
      type: "line",
      source: "draw",
      filter: ["!=", ["geometry-type"], "Point"],
      paint: { "line-color": theme.fence, "line-width": 2, "line-dasharray": [2, 1.4] },
    },
    {
      id: "draw-corner",
      type: "circle",
      source: "draw",
      filter: ["==", ["geometry-type"], "Point"],
      paint: { "circle-radius": 5, "circle-color": theme.halo, "circle-stroke-color": theme.fence, "circle-stroke-width": 2 },
    },
  ];
}
