// Names beside riders: drawn on a canvas over the map, at the places where the markers are in this frame.

import type { Map as MapLibre } from "maplibre-gl";
import { drawnAt, type Rider, type RiderStore } from "../live/riders";
import { latitudeOf, longitudeOf } from "./geo";
import { radiusAt } from "./riders-layer";
import type { MapTheme } from "./theme";

const MOST = 800;
const SLOT_PX = [16, 7] as const; // names that would share a slot of the screen are not both written
const FONT_PX = 11;

export class Labels {
  theme: MapTheme;
  /** Name everybody (when not too many are in view), not only who is selected or pointed at. */
  all = false;
  hidden = false;
  selected = "";
  hovered = "";
  #canvas = document.createElement("canvas");
  #drawn = false;

  constructor(
    private readonly map: MapLibre,
    private readonly riders: RiderStore,
    theme: MapTheme,
  ) {
    this.theme = theme;
    this.#canvas.className = "labels";
    this.#canvas.setAttribute("aria-hidden", "true");
    map.getCanvasContainer().append(this.#canvas);
    map.on("render", this.#draw);
  }

  #draw = (): void => {
    const named = this.#named();
    if (named.length === 0 && !this.#drawn) return;
    const context = this.#context();
    if (!context) return;
    this.#drawn = named.length > 0;
    const now = performance.now();
    const radius = radiusAt(this.map.getZoom());
    const taken = new Set<number>();
    for (const rider of named) {
      const [x, y] = drawnAt(rider, now);
      const at = this.map.project([longitudeOf(x), latitudeOf(y)]);
      const strong = rider.id === this.selected || rider.id === this.hovered;
      const slots = slotsOf(at.x, at.y, (rider.id.length * FONT_PX) / 2);
      if (!strong && slots.some((slot) => taken.has(slot))) continue;
      for (const slot of slots) taken.add(slot);
      context.font = `${strong ? 650 : 500} ${strong ? FONT_PX + 1 : FONT_PX}px ui-sans-serif, system-ui, "Noto Sans KR", sans-serif`;
      context.fillStyle = rider.id === this.selected ? this.theme.selected : this.theme.labelStrong;
      context.strokeText(rider.id, at.x, at.y + radius + 12);
      context.fillText(rider.id, at.x, at.y + radius + 12);
    }
  };

  #named(): Rider[] {
    if (this.hidden) return [];
    const chosen = [...new Set([this.selected, this.hovered])].flatMap((id) => this.riders.byId.get(id) ?? []);
    if (!this.all) return chosen;
    const view = this.map.getBounds();
    const inView = this.riders.list.filter(({ position }) => view.contains([position.longitude, position.latitude]));
    return inView.length <= MOST ? [...chosen, ...inView.filter((rider) => !chosen.includes(rider))] : chosen;
  }

  #context(): CanvasRenderingContext2D | null {
    const { clientWidth, clientHeight } = this.map.getCanvas();
    const ratio = this.map.getPixelRatio();
    const canvas = this.#canvas;
    if (canvas.width !== Math.round(clientWidth * ratio) || canvas.height !== Math.round(clientHeight * ratio)) {
      canvas.width = Math.round(clientWidth * ratio);
      canvas.height = Math.round(clientHeight * ratio);
      canvas.style.width = `${clientWidth}px`;
      canvas.style.height = `${clientHeight}px`;
    }
    const context = canvas.getContext("2d");
    if (!context) return null;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, clientWidth, clientHeight);
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.lineJoin = "round";
    context.lineWidth = 3;
    context.strokeStyle = this.theme.halo;
    return context;
  }
}

/** The slots that a name of about this width covers. */
function slotsOf(x: number, y: number, width: number): number[] {
  const slots: number[] = [];
  const row = Math.floor(y / SLOT_PX[1]);
  for (let column = Math.floor((x - width / 2) / SLOT_PX[0]); column * SLOT_PX[0] < x + width / 2; column++) {
    slots.push(column * 10_000 + row, column * 10_000 + row + 1);
  }
  return slots;
}
