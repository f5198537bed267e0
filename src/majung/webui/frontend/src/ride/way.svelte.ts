// The way to where the rider has to go, asked for anew when the rider has gone a good part of it.

import { deliveryApi } from "../delivery/api";
import type { Place, Route } from "../delivery/types";

const AGAIN_AFTER_M = 80;
const AGAIN_AFTER_MS = 5000;

class Way {
  route = $state.raw<Route | null>(null);
  #from: Place | null = null;
  #to: Place | null = null;
  #asked_ms = 0;

  /** Called with every place of the rider; asks the server now and then. */
  async from(here: Place, to: Place): Promise<void> {
    const other = !this.#to || metres(this.#to, to) > 1;
    if (other) this.route = null;
    const moved = !this.#from || metres(this.#from, here) > AGAIN_AFTER_M;
    if (!other && (!moved || Date.now() - this.#asked_ms < AGAIN_AFTER_MS)) return;
    [this.#from, this.#to, this.#asked_ms] = [here, to, Date.now()];
    try {
      const found = await deliveryApi.route(here, to);
      if (this.#to === to) this.route = found;
    } catch {
      this.#from = null; // asked again at the next place
    }
  }
}

/** Good within a city. */
function metres(a: Place, b: Place): number {
  const north = (b.latitude - a.latitude) * 111_195;
  const east = (b.longitude - a.longitude) * 111_195 * Math.cos((a.latitude * Math.PI) / 180);
  return Math.hypot(north, east);
}

export const way = new Way();
