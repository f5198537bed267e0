// Kilometres or miles: what was chosen last, else what the device's region uses.

import { decimal, length } from "../i18n/format";
import type { Precision } from "./types";

const KEY = "majung.friends.units";
export const MILE_M = 1609.344;
const FOOT_M = 0.3048;
const MILES = /^en-(US|GB|LR|MM)$/;

class Units {
  miles = $state((localStorage.getItem(KEY) ?? (MILES.test(navigator.language) ? "mi" : "km")) === "mi");

  choose(miles: boolean): void {
    this.miles = miles;
    localStorage.setItem(KEY, miles ? "mi" : "km");
  }
}

export const units = new Units();

/** A distance: "85 m", "1.2 km", "280 ft", "0.8 mi". */
export function far(metres: number | null): string {
  if (metres === null) return "";
  if (!units.miles) return metres < 10 ? `${decimal(Math.max(1, metres))} m` : length(metres);
  if (metres < MILE_M / 10) return `${decimal(Math.max(1, Math.round(metres / FOOT_M / 10)) * 10)} ft`;
  const miles = metres / MILE_M;
  return `${decimal(miles, miles < 100 ? 1 : 0)} mi`;
}

/** A radius, without a needless ".0". */
export function reach(metres: number): string {
  const value = metres / (units.miles ? MILE_M : 1000);
  return `${decimal(value, Math.abs(value - Math.round(value)) < 0.05 ? 0 : 1)} ${units.miles ? "mi" : "km"}`;
}

const CELLS: Record<Precision, [km: string, miles: string]> = {
  7: ["150 m", "500 ft"],
  6: ["1 km", "0.7 mi"],
  5: ["5 km", "3 mi"],
  4: ["40 km", "25 mi"],
  3: ["150 km", "95 mi"],
};

/** How wide a cell is, as one says it. */
export const cellSize = (precision: number) => CELLS[precision as Precision]?.[units.miles ? 1 : 0] ?? "";
