// Small geometry: web mercator, distances, circles, geohash squares.

import type { Area } from "../api/types";

const EARTH_RADIUS_M = 6_371_008.8; // mean radius, IUGG
const RADIANS = Math.PI / 180;

/** Web mercator in 0..1, x to the east, y to the south (the units of the map library). */
export const mercatorX = (longitude: number) => (longitude + 180) / 360;
export const mercatorY = (latitude: number) =>
  (1 - Math.log(Math.tan(Math.PI / 4 + (clampLatitude(latitude) * RADIANS) / 2)) / Math.PI) / 2;
export const longitudeOf = (x: number) => x * 360 - 180;
export const latitudeOf = (y: number) => (2 * Math.atan(Math.exp(Math.PI * (1 - 2 * y))) - Math.PI / 2) / RADIANS;

const clampLatitude = (latitude: number) => Math.min(85.051129, Math.max(-85.051129, latitude));

/** Great-circle distance in metres (haversine). */
export function distance(lat1: number, lon1: number, lat2: number, lon2: number): number {
  const dLat = (lat2 - lat1) * RADIANS;
  const dLon = (lon2 - lon1) * RADIANS;
  const h = Math.sin(dLat / 2) ** 2 + Math.cos(lat1 * RADIANS) * Math.cos(lat2 * RADIANS) * Math.sin(dLon / 2) ** 2;
  return 2 * EARTH_RADIUS_M * Math.asin(Math.min(1, Math.sqrt(h)));
}

/** Direction from one point to another, degrees from north. */
export function bearing(lat1: number, lon1: number, lat2: number, lon2: number): number {
  const dLon = (lon2 - lon1) * RADIANS;
  const y = Math.sin(dLon) * Math.cos(lat2 * RADIANS);
  const x =
    Math.cos(lat1 * RADIANS) * Math.sin(lat2 * RADIANS) -
    Math.sin(lat1 * RADIANS) * Math.cos(lat2 * RADIANS) * Math.cos(dLon);
  return (Math.atan2(y, x) / RADIANS + 360) % 360;
}

/** A closed ring of [longitude, latitude] round a point. */
export function circleRing(latitude: number, longitude: number, radiusM: number, corners = 72): [number, number][] {
  const dLat = radiusM / EARTH_RADIUS_M / RADIANS;
  const dLon = dLat / Math.max(0.01, Math.cos(latitude * RADIANS));
  return Array.from({ length: corners + 1 }, (_, i) => {
    const angle = (2 * Math.PI * (i % corners)) / corners;
    return [longitude + dLon * Math.sin(angle), latitude + dLat * Math.cos(angle)];
  });
}

const BASE32 = "0123456789bcdefghjkmnpqrstuvwxyz";

/** The box of a geohash (https://en.wikipedia.org/wiki/Geohash). */
export function geohashBox(cell: string): Area {
  let south = -90;
  let north = 90;
  let west = -180;
  let east = 180;
  let forLongitude = true;
  for (const letter of cell) {
    const value = BASE32.indexOf(letter);
    for (let bit = 16; bit > 0; bit >>= 1) {
      const high = (value & bit) !== 0;
      if (forLongitude) {
        const middle = (west + east) / 2;
        if (high) west = middle;
        else east = middle;
      } else {
        const middle = (south + north) / 2;
        if (high) south = middle;
        else north = middle;
      }
      forLongitude = !forLongitude;
    }
  }
  return { south, west, north, east };
}

export function boxRing({ south, west, north, east }: Area): [number, number][] {
  return [
    [west, south],
    [east, south],
    [east, north],
    [west, north],
    [west, south],
  ];
}

/** The geohash cell of a place; each letter more makes it 32 times smaller. */
export function geohashOf(latitude: number, longitude: number, letters: number): string {
  let cell = "";
  while (cell.length < letters) {
    const inside = [...BASE32].find((letter) => {
      const { south, west, north, east } = geohashBox(cell + letter);
      return latitude >= south && latitude < north && longitude >= west && longitude < east;
    });
    if (!inside) return cell; // the pole, or the far edge of the last column
    cell += inside;
  }
  return cell;
}
