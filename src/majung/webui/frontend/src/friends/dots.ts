// What the map of friends shows, and the parts of it that are drawn on the ground: squares, accuracy, the radius.

import type { GeoJSONSource, Map as MapLibre } from "maplibre-gl";
import { boxRing, circleRing } from "../map/geo";
import type { Bounds } from "./types";

/** Oneself among the dots. */
export const ME = "me";

export interface Dot {
  id: string;
  me?: boolean;
  initials: string;
  colour: string;
  latitude: number;
  longitude: number;
  accuracy_m?: number | null | undefined;
  /** The square that somebody is in, somewhere. */
  bounds?: Bounds | null | undefined;
  /** Under the face. */
  text: string;
  /** For who does not see it. */
  says: string;
  old?: boolean;
  chosen?: boolean;
  /** Too far away to be shown with everybody. */
  aside?: boolean;
}

export interface MapProps {
  dots: readonly Dot[];
  /** The circle within which friends are near. */
  radius?: { latitude: number; longitude: number; radius_m: number } | null;
  /** Where somebody was, [longitude, latitude]. */
  track?: readonly [number, number][];
  /** A new one each time: show these, or everybody (null). */
  look?: { ids: readonly string[] | null } | undefined;
  padding?: { top?: number; bottom?: number };
  /** Only to look at. */
  still?: boolean;
  label: string;
  picked?: (id: string) => void;
}

const ID = "people";
/** Less than this is a point. */
const LEAST_ACCURACY_M = 15;

export function drawAreas(map: MapLibre, dots: readonly Dot[], radius: MapProps["radius"], track: readonly [number, number][] = []): void {
  const features: GeoJSON.Feature[] = [];
  const add = (kind: string, colour: string, ring: [number, number][]) =>
    features.push({ type: "Feature", properties: { kind, colour }, geometry: { type: "Polygon", coordinates: [ring] } });
  const own = getComputedStyle(map.getContainer()).getPropertyValue("--moving").trim();
  if (radius) add("radius", own, circleRing(radius.latitude, radius.longitude, radius.radius_m));
  for (const { me, colour, latitude, longitude, accuracy_m, bounds } of dots) {
    if (bounds) add("square", me ? own : colour, boxRing(bounds));
    else if ((accuracy_m ?? 0) > LEAST_ACCURACY_M) add("accuracy", me ? own : colour, circleRing(latitude, longitude, accuracy_m ?? 0, 48));
  }
  if (track.length > 1) {
    const coordinates = track.map((point) => [...point]);
    features.push({ type: "Feature", properties: { kind: "track", colour: own }, geometry: { type: "LineString", coordinates } });
  }
  const data = { type: "FeatureCollection" as const, features };
  const source = map.getSource<GeoJSONSource>(ID);
  if (source) {
    source.setData(data);
    return;
  }
  map.addSource(ID, { type: "geojson", data });
  map.addLayer({
    id: `${ID}-fill`,
    type: "fill",
    source: ID,
    filter: ["in", ["get", "kind"], ["literal", ["square", "accuracy"]]],
    paint: { "fill-color": ["get", "colour"], "fill-opacity": ["match", ["get", "kind"], "square", 0.17, 0.12] },
  });
  map.addLayer({
    id: `${ID}-square`,
    type: "line",
    source: ID,
    filter: ["==", ["get", "kind"], "square"],
    paint: { "line-color": ["get", "colour"], "line-width": 2, "line-dasharray": [2.5, 2] },
  });
  map.addLayer({
    id: `${ID}-radius`,
    type: "line",
    source: ID,
    filter: ["==", ["get", "kind"], "radius"],
    paint: { "line-color": ["get", "colour"], "line-width": 1.5, "line-opacity": 0.35, "line-dasharray": [4, 3] },
  });
  map.addLayer({
    id: `${ID}-track`,
    type: "line",
    source: ID,
    filter: ["==", ["get", "kind"], "track"],
    layout: { "line-cap": "round", "line-join": "round" },
    paint: { "line-color": ["get", "colour"], "line-width": 4, "line-opacity": 0.7 },
  });
}
