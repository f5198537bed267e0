// What the map is asked to show: everybody, or somebody; and the way that somebody went.

import { toasts } from "../ui/toasts.svelte";
import { friendsApi } from "./api";

const TRACK_MS = 86_400_000;

class MapView {
  wish = $state.raw<{ ids: readonly string[] | null } | undefined>(undefined);
  /** A friend whose page is open stands out. */
  chosen = $state("");
  /** Phone: the map was asked for, so the sheet goes down. */
  asked = $state(0);
  trackOf = $state("");
  trackEmpty = $state(false);
  track = $state.raw<readonly [number, number][]>([]);

  /** null: everybody. `bare`: with as much of the map as there is. */
  look(ids: readonly string[] | null, bare = false): void {
    this.wish = { ids };
    this.chosen = ids?.[0] ?? "";
    if (bare) this.asked += 1;
  }

  async showTrack(id: string): Promise<void> {
    try {
      const now_ms = Date.now();
      const points = await friendsApi.track(id, now_ms - TRACK_MS, now_ms);
      this.track = points.map(({ latitude, longitude }) => [longitude, latitude]);
      this.trackOf = id;
      this.trackEmpty = points.length === 0;
    } catch (error) {
      toasts.failed(error);
    }
  }

  hideTrack(): void {
    this.trackOf = "";
    this.track = [];
  }
}

export const view = new MapView();
