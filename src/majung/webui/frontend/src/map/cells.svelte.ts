// Cells and their load, asked for while they are shown.

import { api } from "../api/client";
import type { CellLoad } from "../api/types";
import { decimal } from "../i18n/format";
import { i18n } from "../i18n/index.svelte";
import { boxRing, geohashBox } from "./geo";

const EVERY_MS = 3000;

class Cells {
  list = $state.raw<CellLoad[]>([]);
  error = $state.raw<unknown>(null);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #shown = false;

  start(): void {
    this.#shown = true;
    void this.#ask();
  }

  stop(): void {
    this.#shown = false;
    clearTimeout(this.#timer);
    this.list = [];
  }

  async #ask(): Promise<void> {
    try {
      const list = await api.cells();
      if (this.#shown) this.list = list;
      this.error = null;
    } catch (error) {
      this.error = error;
    }
    if (this.#shown) this.#timer = setTimeout(() => void this.#ask(), EVERY_MS);
  }
}

export const cells = new Cells();

export function cellFeatures(list: CellLoad[]): GeoJSON.FeatureCollection {
  const t = i18n.t.map;
  return {
    type: "FeatureCollection",
    features: list.map(({ cell, members, reads_per_s }) => ({
      type: "Feature",
      properties: {
        cell,
        members,
        precision: cell.length,
        label: reads_per_s >= 0.05 ? `${decimal(members)}\n${t.reads(decimal(reads_per_s, 1))}` : decimal(members),
      },
      geometry: { type: "Polygon", coordinates: [boxRing(geohashBox(cell))] },
    })),
  };
}
