// What lies under the riders: the configured tiles, or the built-in outlines that need no internet.

import type { StyleSpecification } from "maplibre-gl";
import type { MapConfig } from "../api/types";
import type { MapTheme } from "./theme";

/** A raster template has {z}, {x} and {y}; anything else that is set is the URL of a style. */
export const isTemplate = (url: string) => ["{z}", "{x}", "{y}"].every((part) => url.includes(part));

export function baseStyle(config: MapConfig, theme: MapTheme): StyleSpecification | string {
  if (config.tile_url && !isTemplate(config.tile_url)) return new URL(config.tile_url, location.href).href;
  const style: StyleSpecification = {
    version: 8,
    // No `glyphs`: letters are drawn by the browser with its own fonts.
    sources: {},
    layers: [{ id: "background", type: "background", paint: { "background-color": theme.water } }],
  };
  if (config.tile_url) {
    style.sources["tiles"] = {
      type: "raster",
      tiles: [config.tile_url],
      tileSize: 256,
      maxzoom: 19,
    };
    style.layers.push({
      id: "tiles",
      type: "raster",
      source: "tiles",
      paint: theme.dark ? { "raster-brightness-max": 0.75, "raster-saturation": -0.4 } : {},
    });
  }
  return style;
}

export const FONT = ["Pretendard, Noto Sans KR, Noto Sans CJK KR, Apple SD Gothic Neo, Malgun Gothic, sans-serif"];
