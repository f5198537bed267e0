// Faces that would lie on each other: the first one stands for those behind it, with their number.

import type { Map as MapLibre, Marker } from "maplibre-gl";
import type { Dot } from "./dots";

const APART_PX = 30;

/** Those who are nearest come first in `dots`; one who was chosen stands before all. */
export function spread(map: MapLibre, markers: ReadonlyMap<string, Marker>, dots: readonly Dot[]): void {
  const fronts: { x: number; y: number; id: string; behind: number }[] = [];
  const order = [...dots].sort((a, b) => Number(b.chosen ?? false) - Number(a.chosen ?? false));
  for (const { id, me, longitude, latitude } of order) {
    if (me) continue; // oneself is small, and always to be seen
    const { x, y } = map.project([longitude, latitude]);
    const front = fronts.find((one) => Math.hypot(one.x - x, one.y - y) < APART_PX);
    if (front) front.behind += 1;
    else fronts.push({ x, y, id, behind: 0 });
    markers.get(id)?.getElement().classList.toggle("behind", Boolean(front));
  }
  for (const { id, behind } of fronts) {
    const element = markers.get(id)?.getElement();
    if (element && behind > 0) element.dataset["more"] = `+${behind}`;
    else if (element) delete element.dataset["more"];
  }
}
