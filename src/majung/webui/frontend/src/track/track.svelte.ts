// The track of the selected rider, and the replay of it.

import { api } from "../api/client";
import type { TrackPoint } from "../api/types";
import { bearing, distance } from "../map/geo";

export type RangeName = "m15" | "h1" | "h6" | "h24" | "d7" | "custom";
const LENGTH_MS: Record<Exclude<RangeName, "custom">, number> = {
  m15: 15 * 60_000,
  h1: 3_600_000,
  h6: 6 * 3_600_000,
  h24: 24 * 3_600_000,
  d7: 7 * 24 * 3_600_000,
};
/** Longer ranges are thinned by the server, so that a week still draws at once. */
const SIMPLIFY_M: Record<Exclude<RangeName, "custom">, number> = { m15: 0, h1: 0, h6: 3, h24: 5, d7: 15 };
const GAP_MS = 5 * 60_000;
export const SPEEDS = [1, 10, 60, 300];

/** Where the replay stands. */
export interface Moment {
  latitude: number;
  longitude: number;
  heading: number | null;
  speed_mps: number;
}

class TrackState {
  rider = $state("");
  range = $state<RangeName>("h1");
  fromMs = $state(0);
  toMs = $state(0);
  points = $state.raw<TrackPoint[]>([]);
  loading = $state(false);
  error = $state.raw<unknown>(null);
  /** Replay: null is live. */
  atMs = $state<number | null>(null);
  playing = $state(false);
  speed = $state(60);
  /** Points as they were driven; marked ones (jumps, inaccurate) are left out. */
  plain = $derived(this.points.filter(({ mark }) => !mark || mark === "late"));
  distanceM = $derived(total(this.plain));
  topSpeed = $derived(this.plain.reduce((top, { speed_mps }) => Math.max(top, speed_mps ?? 0), 0));
  moment = $derived(this.atMs === null ? null : momentAt(this.plain, this.atMs));
  #abort: AbortController | null = null;
  #frame = 0;

  /** Show the track of a rider; "" shows none. */
  async show(rider: string, range: RangeName = this.range, custom?: { fromMs: number; toMs: number }): Promise<void> {
    this.live();
    if (rider !== this.rider) this.points = [];
    this.rider = rider;
    this.range = range;
    this.#abort?.abort();
    this.error = null;
    this.loading = Boolean(rider);
    if (!rider) return;
    const now = Date.now();
    this.toMs = custom?.toMs ?? now;
    this.fromMs = custom?.fromMs ?? now - (range === "custom" ? LENGTH_MS.h1 : LENGTH_MS[range]);
    const simplify = range === "custom" ? (this.toMs - this.fromMs > LENGTH_MS.h6 ? 5 : 0) : SIMPLIFY_M[range];
    const abort = (this.#abort = new AbortController());
    try {
      const { points } = await api.track(rider, this.fromMs, this.toMs, simplify, abort.signal);
      this.points = points;
    } catch (error) {
      if (abort.signal.aborted) return;
      this.points = [];
      this.error = error;
    } finally {
      if (this.#abort === abort) this.loading = false;
    }
  }

  /** A live position of the shown rider: the track grows with it. */
  grow(point: TrackPoint): void {
    if (this.range === "custom" || this.atMs !== null || this.loading) return;
    const last = this.points.at(-1);
    if (last && point.device_time_ms <= last.device_time_ms) return;
    const fromMs = Date.now() - LENGTH_MS[this.range];
    const kept = (this.points[0]?.device_time_ms ?? fromMs) < fromMs ? this.points.filter((p) => p.device_time_ms >= fromMs) : this.points;
    this.points = [...kept, point];
    this.toMs = Date.now();
    this.fromMs = fromMs;
  }

  seek(atMs: number): void {
    this.atMs = atMs;
  }

  play(): void {
    const first = this.plain[0]?.device_time_ms;
    const last = this.plain.at(-1)?.device_time_ms;
    if (first === undefined || last === undefined || last <= first) return;
    if (this.atMs === null || this.atMs >= last) this.atMs = first;
    this.playing = true;
    let before = performance.now();
    const step = (now: number) => {
      if (!this.playing || this.atMs === null) return;
      this.atMs = Math.min(last, this.atMs + (now - before) * this.speed);
      before = now;
      if (this.atMs >= last) this.playing = false;
      else this.#frame = requestAnimationFrame(step);
    };
    cancelAnimationFrame(this.#frame);
    this.#frame = requestAnimationFrame(step);
  }

  pause(): void {
    this.playing = false;
    cancelAnimationFrame(this.#frame);
  }

  /** End the replay. */
  live(): void {
    this.pause();
    this.atMs = null;
  }
}

export const track = new TrackState();

function total(points: TrackPoint[]): number {
  let sum = 0;
  for (let i = 1; i < points.length; i++) {
    const [a, b] = [points[i - 1], points[i]];
    if (a && b && b.device_time_ms - a.device_time_ms <= GAP_MS) sum += distance(a.latitude, a.longitude, b.latitude, b.longitude);
  }
  return sum;
}

/** Between the two points round a time; `points` in order of device time. */
function momentAt(points: TrackPoint[], atMs: number): Moment | null {
  const first = points[0];
  if (!first) return null;
  let low = 0;
  let high = points.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if ((points[middle]?.device_time_ms ?? 0) <= atMs) low = middle;
    else high = middle - 1;
  }
  const a = points[low] ?? first;
  const b = points[low + 1] ?? a;
  const span = b.device_time_ms - a.device_time_ms;
  const part = span > 0 ? Math.min(1, Math.max(0, (atMs - a.device_time_ms) / span)) : 0;
  const moved = distance(a.latitude, a.longitude, b.latitude, b.longitude);
  return {
    latitude: a.latitude + (b.latitude - a.latitude) * part,
    longitude: a.longitude + (b.longitude - a.longitude) * part,
    heading: moved > 1 ? bearing(a.latitude, a.longitude, b.latitude, b.longitude) : (a.heading_deg ?? null),
    speed_mps: a.speed_mps ?? (span > 0 && span < GAP_MS ? moved / (span / 1000) : 0),
  };
}

/** What the map draws of it: a line for each stretch without a gap, its ends, and the marked points. */
export function trackFeatures(points: TrackPoint[], plain: TrackPoint[]): GeoJSON.FeatureCollection {
  const features: GeoJSON.Feature[] = [];
  const at = ({ longitude, latitude }: TrackPoint): [number, number] => [longitude, latitude];
  const add = (geometry: GeoJSON.Geometry, properties: GeoJSON.GeoJsonProperties) =>
    features.push({ type: "Feature", properties, geometry });
  let stretch: [number, number][] = [];
  const close = () => {
    if (stretch.length > 1) add({ type: "LineString", coordinates: stretch }, { part: "line" });
    stretch = [];
  };
  plain.forEach((point, i) => {
    const before = plain[i - 1];
    if (before && point.device_time_ms - before.device_time_ms > GAP_MS) close();
    stretch.push(at(point));
  });
  close();
  for (const point of points) {
    if (point.mark && point.mark !== "late") add({ type: "Point", coordinates: at(point) }, { part: "marked" });
  }
  const first = plain[0];
  if (first) add({ type: "Point", coordinates: at(first) }, { part: "end", first: true });
  return { type: "FeatureCollection", features };
}
