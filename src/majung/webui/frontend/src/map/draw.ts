// Drawing a fence: a circle (press, drag, let go; or tap twice) or a polygon (click corner by corner).

import type { Map as MapLibre, MapMouseEvent, MapTouchEvent, Subscription } from "maplibre-gl";
import { circleRing, distance } from "./geo";
import { NOTHING, setOverlay } from "./overlays";

export type Shape =
  | { kind: "circle"; latitude: number; longitude: number; radius_m: number }
  | { kind: "polygon"; corners: [latitude: number, longitude: number][]; closed: boolean };

type Point = { lat: number; lng: number };

const CLOSE_PX = 14;
const TOUCH_ECHO_MS = 1000;
export const SMALLEST_M = 10;

/** One drawing; `changed` hears every step. Ends with `stop`. */
export class Drawing {
  shape: Shape | null = null;
  #centre: Point | null = null;
  #touchedAt = -Infinity;
  #listening: Subscription[] = [];
  /** "second": the centre was tapped, the next tap is the edge. */
  #phase: "idle" | "pressing" | "second" = "idle";

  constructor(
    private readonly map: MapLibre,
    private readonly kind: Shape["kind"],
    private readonly changed: (shape: Shape | null) => void,
  ) {
    map.getCanvas().classList.add("drawing");
    map.doubleClickZoom.disable();
    if (kind === "circle") map.dragPan.disable();
    this.#listening = [
      map.on("mousedown", this.#down),
      map.on("mousemove", this.#move),
      map.on("mouseup", this.#up),
      map.on("touchstart", this.#down),
      map.on("touchmove", this.#move),
      map.on("touchend", this.#up),
      map.on("click", this.#click),
    ];
    addEventListener("keydown", this.#key);
  }

  stop(): void {
    const { map } = this;
    map.getCanvas().classList.remove("drawing");
    map.doubleClickZoom.enable();
    map.dragPan.enable();
    for (const subscription of this.#listening) subscription.unsubscribe();
    removeEventListener("keydown", this.#key);
    setOverlay(map, "draw", NOTHING);
  }

  /** Show a shape that was typed in or changed by the form. */
  set(shape: Shape | null): void {
    this.shape = shape;
    this.#show();
    this.changed(shape);
  }

  undo(): void {
    if (this.shape?.kind !== "polygon") return;
    const corners = this.shape.corners.slice(0, -1);
    this.set(corners.length > 0 ? { kind: "polygon", corners, closed: false } : null);
  }

  finish(): void {
    if (this.shape?.kind === "polygon" && this.shape.corners.length >= 3) this.set({ ...this.shape, closed: true });
  }

  /** Draw again, after the map's style was replaced. */
  redraw(): void {
    this.#show();
  }

  #down = (event: MapMouseEvent | MapTouchEvent): void => {
    if (this.kind !== "circle" || this.#echo(event) || ("points" in event && event.points.length > 1)) return;
    event.preventDefault();
    if (this.#phase === "second") {
      this.#stretch(event.lngLat);
      this.#phase = "idle";
    } else {
      this.#centre = event.lngLat;
      this.#phase = "pressing";
    }
  };

  #move = (event: MapMouseEvent | MapTouchEvent): void => {
    if (this.#phase !== "idle" && !this.#echo(event)) this.#stretch(event.lngLat);
  };

  #up = (event: MapMouseEvent | MapTouchEvent): void => {
    if (this.#phase !== "pressing" || this.#echo(event)) return;
    const far = this.#radius(event.lngLat) >= SMALLEST_M;
    if (far) this.#stretch(event.lngLat);
    this.#phase = far ? "idle" : "second";
  };

  /** After a touch the browser sends the same again as mouse events. */
  #echo(event: MapMouseEvent | MapTouchEvent): boolean {
    const now = performance.now();
    if ("points" in event) this.#touchedAt = now;
    return !("points" in event) && now - this.#touchedAt < TOUCH_ECHO_MS;
  }

  #radius(to: Point): number {
    return this.#centre ? distance(this.#centre.lat, this.#centre.lng, to.lat, to.lng) : 0;
  }

  #stretch(to: Point): void {
    if (!this.#centre) return;
    const radius_m = Math.max(1, Math.round(this.#radius(to)));
    this.set({ kind: "circle", latitude: this.#centre.lat, longitude: this.#centre.lng, radius_m });
  }

  #click = (event: MapMouseEvent): void => {
    if (this.kind !== "polygon") return;
    const corners = this.shape?.kind === "polygon" && !this.shape.closed ? this.shape.corners : [];
    const first = corners[0];
    if (first && corners.length >= 3) {
      const at = this.map.project([first[1], first[0]]);
      if (Math.hypot(at.x - event.point.x, at.y - event.point.y) < CLOSE_PX) return this.finish();
    }
    this.set({ kind: "polygon", corners: [...corners, [event.lngLat.lat, event.lngLat.lng]], closed: false });
  };

  #key = (event: KeyboardEvent): void => {
    if (event.target instanceof HTMLInputElement) return;
    if (event.key === "Enter") this.finish();
    if (event.key === "Backspace") this.undo();
  };

  #show(): void {
    setOverlay(this.map, "draw", this.shape ? drawn(this.shape) : NOTHING);
  }
}

function drawn(shape: Shape): GeoJSON.FeatureCollection {
  const features: GeoJSON.Feature[] = [];
  const add = (geometry: GeoJSON.Geometry) => features.push({ type: "Feature", properties: {}, geometry });
  if (shape.kind === "circle") {
    const { latitude, longitude, radius_m } = shape;
    add({ type: "Polygon", coordinates: [circleRing(latitude, longitude, radius_m)] });
    add({ type: "Point", coordinates: [longitude, latitude] });
  } else {
    const ring = shape.corners.map(([latitude, longitude]) => [longitude, latitude]);
    const first = ring[0];
    if (shape.closed && first) add({ type: "Polygon", coordinates: [[...ring, first]] });
    else if (ring.length > 1) add({ type: "LineString", coordinates: ring });
    for (const corner of ring) add({ type: "Point", coordinates: corner });
  }
  return { type: "FeatureCollection", features };
}
