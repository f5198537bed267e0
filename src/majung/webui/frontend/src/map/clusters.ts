// Zoomed out, riders are counted in squares of the world: steady groups that do not jump about when one
// rider moves, and no work for the graphics card.

import { latitudeOf, longitudeOf } from "./geo";
import type { RiderStore } from "../live/riders";

export const CLUSTERS_BELOW_ZOOM = 11.5;
export const CLUSTERS_ABOVE_RIDERS = 150;
const SQUARE_PX = 64;

interface Sum {
  count: number;
  x: number;
  y: number;
  id: string;
}

/** One point a square, at the middle of its riders; `count` says how many, `id` who when it is one. */
export function clusters(riders: RiderStore, zoom: number): GeoJSON.FeatureCollection<GeoJSON.Point> {
  const squares = 2 ** Math.round(zoom) * (512 / SQUARE_PX);
  const sums = new Map<number, Sum>();
  for (const { id, x, y } of riders.list) {
    const key = Math.floor(x * squares) * 2 ** 24 + Math.floor(y * squares);
    const sum = sums.get(key);
    if (sum) {
      sum.count += 1;
      sum.x += x;
      sum.y += y;
    } else sums.set(key, { count: 1, x, y, id });
  }
  return {
    type: "FeatureCollection",
    features: [...sums.values()].map(({ count, x, y, id }) => ({
      type: "Feature",
      properties: count === 1 ? { count, id } : { count },
      geometry: { type: "Point", coordinates: [longitudeOf(x / count), latitudeOf(y / count)] },
    })),
  };
}
