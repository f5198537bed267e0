// The line of a way on a small map.

import type { GeoJSONSource, Map as MapLibre } from "maplibre-gl";

export type Points = readonly (readonly [longitude: number, latitude: number])[];

const ID = "way";

/** Draw it, or draw it anew after the style has changed; no points: nothing is drawn. */
export function drawWay(map: MapLibre, points: Points, straight: boolean): void {
  const data = { type: "Feature" as const, properties: {}, geometry: { type: "LineString" as const, coordinates: points.map((point) => [...point]) } };
  const source = map.getSource<GeoJSONSource>(ID);
  if (source) {
    source.setData(data);
    map.setPaintProperty(ID, "line-dasharray", dashes(straight));
    return;
  }
  if (points.length < 2) return;
  const colour = getComputedStyle(map.getContainer()).getPropertyValue("--moving").trim();
  map.addSource(ID, { type: "geojson", data });
  map.addLayer({
    id: ID,
    type: "line",
    source: ID,
    layout: { "line-cap": "round", "line-join": "round" },
    paint: { "line-color": colour, "line-width": 5, "line-opacity": 0.75, "line-dasharray": dashes(straight) },
  });
}

/** A straight line is not a way that one could ride: it is dashed. */
const dashes = (straight: boolean) => (straight ? [0.6, 1.8] : [1, 0]);
