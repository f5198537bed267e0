// The fences: the list from the server, and the one that is being drawn.

import { api } from "../api/client";
import type { Fence, NewFence } from "../api/types";
import { live } from "../live/live.svelte";
import type { Shape } from "../map/draw";
import { circleRing } from "../map/geo";
import type { Area } from "../api/types";

class Fences {
  list = $state.raw<Fence[]>([]);
  loaded = $state(false);
  error = $state.raw<unknown>(null);
  /** What kind is being drawn; null: none. */
  drawing = $state<Shape["kind"] | null>(null);
  shape = $state.raw<Shape | null>(null);
  active = $state("");

  async load(): Promise<void> {
    try {
      this.list = (await api.fences()).sort((a, b) => a.name.localeCompare(b.name));
      this.error = null;
      live.watchFences(this.list);
    } catch (error) {
      this.error = error;
    } finally {
      this.loaded = true;
    }
  }

  begin(kind: Shape["kind"]): void {
    this.shape = null;
    this.drawing = kind;
  }

  end(): void {
    this.drawing = null;
    this.shape = null;
  }

  async create(fence: NewFence): Promise<void> {
    await api.createFence(fence);
    this.end();
    await this.load();
  }

  async remove(id: string): Promise<void> {
    await api.deleteFence(id);
    await this.load();
  }
}

export const fences = new Fences();

/** The ring of a fence, [longitude, latitude], closed. */
function ring(fence: Fence): [number, number][] {
  const circle = fence.circle ?? fence.near;
  if (circle) return circleRing(circle.latitude, circle.longitude, circle.radius_m);
  const corners = (fence.polygon ?? []).map(([latitude, longitude]): [number, number] => [longitude, latitude]);
  const first = corners[0];
  return first ? [...corners, first] : [];
}

export function boxOf(points: [number, number][]): Area {
  const box = { south: 90, west: 180, north: -90, east: -180 };
  for (const [longitude, latitude] of points) {
    box.south = Math.min(box.south, latitude);
    box.north = Math.max(box.north, latitude);
    box.west = Math.min(box.west, longitude);
    box.east = Math.max(box.east, longitude);
  }
  return box;
}

export const fenceBox = (fence: Fence): Area => boxOf(ring(fence));

export function fenceFeatures(list: Fence[], active: string): GeoJSON.FeatureCollection {
  const features = list.flatMap((fence): GeoJSON.Feature[] => {
    const outline = ring(fence);
    const { south, west, east } = boxOf(outline);
    const properties = { id: fence.fence_id, name: fence.name, active: fence.fence_id === active };
    return [
      { type: "Feature", properties, geometry: { type: "Polygon", coordinates: [outline] } },
      { type: "Feature", properties, geometry: { type: "Point", coordinates: [(west + east) / 2, south] } },
    ];
  });
  return { type: "FeatureCollection", features };
}

