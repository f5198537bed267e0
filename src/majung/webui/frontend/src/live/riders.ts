// The riders that are on the map, and where each is drawn at a moment.
//
// A new position does not move a marker at once: the marker glides from where it is drawn to the new place
// for as long as the rider usually takes between two reports. Plain objects, not reactive: five thousand
// riders move sixty times a second; lists on the page read a copy once a second.

import type { LivePosition } from "../api/types";
import { bearing, distance, mercatorX, mercatorY } from "../map/geo";

export const SILENT_AFTER_MS = 60_000;
const MOVING_MPS = 0.8;
const TELEPORT_M = 3000;
const TURN_M = 8; // less is more likely the noise of the receiver than a direction
const GLIDE_MIN_MS = 250;
const GLIDE_MAX_MS = 6000;
const SWEEP_AFTER_MS = 1500;

export interface Rider {
  readonly id: string;
  slot: number;
  position: LivePosition;
  moving: boolean;
  /** Degrees from north, as reported or else as it moved; null: not known. */
  heading: number | null;
  /** performance.now() of the newest report. */
  heardMs: number;
  /** Mercator 0..1: glides from (fromX, fromY) at startMs to (x, y) at startMs + glideMs (performance.now()). */
  fromX: number;
  fromY: number;
  x: number;
  y: number;
  startMs: number;
  glideMs: number;
}

export type RiderState = "moving" | "still" | "silent";

export class RiderStore {
  readonly byId = new Map<string, Rider>();
  /** Dense, in drawing order; a rider's index is its `slot`. */
  readonly list: Rider[] = [];
  /** Slots that changed since the drawing layer looked. */
  readonly dirty = new Set<number>();
  /** performance.now() until which something is gliding. */
  glidesUntil = 0;
  /** Server clock minus this machine's clock, milliseconds. */
  clockOffsetMs = 0;
  glide = true;
  #doubtful = new Set<string>();
  #sweep: ReturnType<typeof setTimeout> | undefined;

  now(): number {
    return Date.now() + this.clockOffsetMs;
  }

  state(rider: Rider, now = this.now()): RiderState {
    if (now - rider.position.received_at_ms > SILENT_AFTER_MS) return "silent";
    return rider.moving ? "moving" : "still";
  }

  put(position: LivePosition): void {
    this.#doubtful.delete(position.rider_id);
    const known = this.byId.get(position.rider_id);
    if (known) this.#move(known, position);
    else this.#add(position);
  }

  /**
   * A snapshot begins: whoever is not named by it goes, save `keep`. Big snapshots come in several messages,
   * so the others are removed a moment later, when nothing has named them again.
   */
  replace(positions: LivePosition[], keep: (id: string) => boolean): void {
    this.#doubtful = new Set(this.byId.keys());
    for (const position of positions) this.put(position);
    clearTimeout(this.#sweep);
    this.#sweep = setTimeout(() => {
      this.remove([...this.#doubtful].filter((id) => !keep(id)));
      this.#doubtful.clear();
    }, SWEEP_AFTER_MS);
  }

  remove(ids: Iterable<string>): void {
    for (const id of ids) {
      const rider = this.byId.get(id);
      if (!rider) continue;
      this.byId.delete(id);
      const last = this.list.pop();
      if (last && last !== rider) {
        last.slot = rider.slot;
        this.list[rider.slot] = last;
        this.dirty.add(rider.slot);
      }
    }
  }

  clear(): void {
    clearTimeout(this.#sweep);
    this.byId.clear();
    this.list.length = 0;
    this.dirty.clear();
  }

  #add(position: LivePosition): void {
    const x = mercatorX(position.longitude);
    const y = mercatorY(position.latitude);
    const rider: Rider = {
      id: position.rider_id,
      slot: this.list.length,
      position,
      moving: (position.speed_mps ?? 0) > MOVING_MPS,
      heading: position.heading_deg ?? null,
      heardMs: performance.now(),
      fromX: x,
      fromY: y,
      x,
      y,
      startMs: 0,
      glideMs: 0,
    };
    this.byId.set(rider.id, rider);
    this.list.push(rider);
    this.dirty.add(rider.slot);
  }

  #move(rider: Rider, next: LivePosition): void {
    const last = rider.position;
    if (next.device_time_ms < last.device_time_ms) return; // never back in device time
    const moved = distance(last.latitude, last.longitude, next.latitude, next.longitude);
    const between = next.device_time_ms - last.device_time_ms;
    const now = performance.now();
    const glides = this.glide && moved > 0 && moved < TELEPORT_M && !document.hidden;
    const [fromX, fromY] = drawnAt(rider, now);
    rider.x = mercatorX(next.longitude);
    rider.y = mercatorY(next.latitude);
    rider.fromX = glides ? fromX : rider.x;
    rider.fromY = glides ? fromY : rider.y;
    rider.startMs = now;
    // A tenth longer than the interval: the next report finds the marker still on its way. Backlogs and
    // replays come faster than they were driven, so the pace of arrival counts as well.
    const pace = Math.min(between, now - rider.heardMs) * 1.1;
    rider.glideMs = glides ? Math.min(GLIDE_MAX_MS, Math.max(GLIDE_MIN_MS, pace)) : 0;
    rider.heardMs = now;
    rider.moving = next.speed_mps == null ? moved > MOVING_MPS * (between / 1000) : next.speed_mps > MOVING_MPS;
    if (next.heading_deg != null) rider.heading = next.heading_deg;
    else if (moved > TURN_M) rider.heading = bearing(last.latitude, last.longitude, next.latitude, next.longitude);
    rider.position = next;
    this.glidesUntil = Math.max(this.glidesUntil, now + rider.glideMs);
    this.dirty.add(rider.slot);
  }
}

/** Where a rider is drawn at `now` (performance.now()), mercator 0..1. */
export function drawnAt(rider: Rider, now: number): [x: number, y: number] {
  const part = rider.glideMs > 0 ? Math.min(1, Math.max(0, (now - rider.startMs) / rider.glideMs)) : 1;
  return [rider.fromX + (rider.x - rider.fromX) * part, rider.fromY + (rider.y - rider.fromY) * part];
}
