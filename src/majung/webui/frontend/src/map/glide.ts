// A marker goes to its next place instead of jumping there: positions come every few seconds, eyes are quicker.

import type { Marker } from "maplibre-gl";

const GLIDE_MS = 1200;
/** Further than this is no way that anybody rode in between: a jump is honest. */
const JUMP_DEG = 0.02;
const running = new WeakMap<Marker, number>();

export function glide(marker: Marker, longitude: number, latitude: number): void {
  cancelAnimationFrame(running.get(marker) ?? 0);
  const from = marker.getLngLat();
  const [dx, dy] = [longitude - from.lng, latitude - from.lat];
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches || document.hidden;
  if (still || Math.abs(dx) + Math.abs(dy) > JUMP_DEG) {
    marker.setLngLat([longitude, latitude]);
    return;
  }
  const start = performance.now();
  const step = (now: number) => {
    const t = Math.min(1, Math.max(0, (now - start) / GLIDE_MS));
    marker.setLngLat([from.lng + dx * t, from.lat + dy * t]);
    if (t < 1) running.set(marker, requestAnimationFrame(step));
  };
  running.set(marker, requestAnimationFrame(step));
}
