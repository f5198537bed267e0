// Where somebody who tries the demo pretends to be: the browser's GPS is elsewhere in the world. Only a server
// with the setting delivery.demo_place offers it. It takes the place of navigator.geolocation, so that everything
// behind it (fixes, buffer, acknowledgements) is what a real phone does.

import { deliveryApi } from "../delivery/api";
import type { Place } from "../delivery/types";

const KEY = "majung.demo.here";
const EVERY_MS = 1000;
const ACCURACY_M = 5;
/** Faster than a scooter: who tries it does not want to wait. */
const SPEED_MPS = 15;

class DemoRide {
  here = $state.raw<Place | null>(null);
  left_m = $state(0);
  #way: Place[] = [];
  #watchers = new Map<number, PositionCallback>();
  #last = 0;
  #timer: ReturnType<typeof setInterval> | undefined;

  get on(): boolean {
    return this.here !== null;
  }

  /** From now on this page's position is simulated; it begins where it was last, or at `start`. */
  begin(start: Place): void {
    this.here = kept() ?? start;
    Object.defineProperty(navigator, "geolocation", { value: this.#geolocation(), configurable: true });
    clearInterval(this.#timer);
    this.#timer = setInterval(() => this.#step(), EVERY_MS);
  }

  /** The browser's own position again. */
  end(): void {
    this.stop();
    this.here = null;
    sessionStorage.removeItem(KEY);
    clearInterval(this.#timer);
    Reflect.deleteProperty(navigator, "geolocation");
  }

  /** Ride along the way that the server names, or straight. */
  async ride(to: Place): Promise<void> {
    if (!this.here) return;
    let way: Place[] = [];
    try {
      const { points } = await deliveryApi.route(this.here, to);
      way = points.map(([longitude, latitude]) => ({ latitude: latitude ?? 0, longitude: longitude ?? 0 }));
    } catch {
      // straight
    }
    this.#way = [...way, to];
    this.left_m = this.#length();
  }

  stop(): void {
    this.#way = [];
    this.left_m = 0;
  }

  #step(): void {
    if (!this.here) return;
    let go = SPEED_MPS * (EVERY_MS / 1000);
    let here = this.here;
    const moving = this.#way.length > 0;
    while (go > 0 && this.#way[0]) {
      const [next] = this.#way;
      const far = metres(here, next);
      if (far <= go) {
        here = next;
        this.#way.shift();
        go -= far;
      } else {
        const part = go / far;
        here = {
          latitude: here.latitude + (next.latitude - here.latitude) * part,
          longitude: here.longitude + (next.longitude - here.longitude) * part,
        };
        go = 0;
      }
    }
    this.here = here;
    this.left_m = this.#length();
    sessionStorage.setItem(KEY, JSON.stringify(here));
    if (moving || this.#last % 4 === 0) for (const tell of this.#watchers.values()) tell(this.#position(moving));
    this.#last += 1;
  }

  #length(): number {
    let from = this.here;
    let sum = 0;
    for (const point of this.#way) {
      if (from) sum += metres(from, point);
      from = point;
    }
    return sum;
  }

  #position(moving: boolean): GeolocationPosition {
    const coords = {
      latitude: this.here?.latitude ?? 0,
      longitude: this.here?.longitude ?? 0,
      accuracy: ACCURACY_M,
      speed: moving ? SPEED_MPS : 0,
      heading: null,
      altitude: null,
      altitudeAccuracy: null,
    };
    return { coords: { ...coords, toJSON: () => coords }, timestamp: Date.now(), toJSON: () => coords };
  }

  #geolocation(): Geolocation {
    let number = 0;
    return {
      watchPosition: (tell) => {
        number += 1;
        this.#watchers.set(number, tell);
        queueMicrotask(() => tell(this.#position(false)));
        return number;
      },
      clearWatch: (id) => void this.#watchers.delete(id),
      getCurrentPosition: (tell) => queueMicrotask(() => tell(this.#position(false))),
    };
  }
}

function kept(): Place | null {
  const found = sessionStorage.getItem(KEY);
  return found ? (JSON.parse(found) as Place) : null;
}

/** Good within a city. */
function metres(a: Place, b: Place): number {
  const north = (b.latitude - a.latitude) * 111_195;
  const east = (b.longitude - a.longitude) * 111_195 * Math.cos((a.latitude * Math.PI) / 180);
  return Math.hypot(north, east);
}

export const demo = new DemoRide();
