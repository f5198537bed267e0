// The map itself: the library, our layers on it, and what the rest of the page may ask of it.

import * as maplibre from "maplibre-gl";
import workerUrl from "maplibre-gl/dist/maplibre-gl-worker.mjs?url";
import "maplibre-gl/dist/maplibre-gl.css";
import type { Area, MapConfig } from "../api/types";
import { i18n } from "../i18n/index.svelte";
import { drawnAt, type Rider, type RiderStore } from "../live/riders";
import { clusters, CLUSTERS_ABOVE_RIDERS, CLUSTERS_BELOW_ZOOM } from "./clusters";
import { latitudeOf, longitudeOf } from "./geo";
import { addGrid } from "./grid";
import { Labels } from "./labels";
import { addOutlines } from "./outlines";
import { addOverlays, NOTHING, setOverlay, type Overlay } from "./overlays";
import { RidersLayer } from "./riders-layer";
import { baseStyle, isTemplate } from "./style";
import { currentTheme, onThemeChange } from "./theme";
import { toasts } from "../ui/toasts.svelte";

maplibre.setWorkerUrl(workerUrl);

const PICK_PX = 16;
const CLUSTER_EVERY_MS = 1000;

export interface EngineEvents {
  view(): void;
  pick(id: string | null): void;
  cell(cell: string | null, at: { x: number; y: number }): void;
  styled(): void;
}

export class Engine {
  readonly map: maplibre.Map;
  readonly layer: RidersLayer;
  readonly labels: Labels;
  /** While a shape is drawn, clicks belong to the drawing. */
  drawing = false;
  #data = new Map<Overlay, GeoJSON.FeatureCollection>();
  #cleanups: (() => void)[] = [];
  #perStyle: (() => void)[] = [];
  #clusteredAt = 0;
  #tilesFailed = false;
  #tilesComplained = false;

  constructor(
    container: HTMLElement,
    private readonly config: MapConfig,
    private readonly riders: RiderStore,
    private readonly events: EngineEvents,
    start: { latitude: number; longitude: number; zoom: number },
  ) {
    const theme = currentTheme();
    this.map = new maplibre.Map({
      container,
      style: baseStyle(config, theme),
      center: [start.longitude, start.latitude],
      zoom: start.zoom,
      minZoom: 1.2,
      maxZoom: 20,
      renderWorldCopies: false,
      dragRotate: false,
      touchPitch: false,
      pitchWithRotate: false,
      rollEnabled: false,
      attributionControl: false,
      fadeDuration: 150,
      locale: { "Map.Title": i18n.t.map.label },
    });
    this.map.touchZoomRotate.disableRotation();
    this.map.keyboard.disableRotation();
    this.map.addControl(new maplibre.ScaleControl({ maxWidth: 110 }), "bottom-left");
    this.layer = new RidersLayer(riders, theme);
    this.labels = new Labels(this.map, riders, theme);
    this.map.on("style.load", () => this.#furnish());
    this.map.on("moveend", () => this.#moved());
    this.map.on("zoom", () => this.updateClusters());
    this.map.on("click", (event) => this.#click(event));
    this.map.on("mousemove", (event) => this.#hover(event));
    this.map.on("mouseout", () => this.#point(""));
    this.map.on("error", (event) => this.#failed(event.error));
    this.#cleanups.push(onThemeChange(() => this.restyle()));
  }

  destroy(): void {
    for (const cleanup of [...this.#cleanups, ...this.#perStyle]) cleanup();
    this.map.remove();
  }

  /** Draw everything anew: the theme or the language changed. */
  restyle(): void {
    this.layer.theme = this.labels.theme = currentTheme();
    this.map.setStyle(this.#style(), { diff: false });
  }

  set(overlay: Overlay, data: GeoJSON.FeatureCollection): void {
    this.#data.set(overlay, data);
    setOverlay(this.map, overlay, data);
  }

  select(id: string): void {
    const before = this.layer.selected;
    this.layer.selected = this.labels.selected = id;
    this.layer.touch(before, id);
  }

  /** Keep the middle of the map clear of what covers its lower part. */
  pad(bottom: number): void {
    this.map.easeTo({ padding: { top: 0, left: 0, right: 0, bottom }, duration: 200 });
  }

  dim(dimmed: boolean): void {
    this.layer.dimmed = dimmed;
    this.layer.wake();
  }

  showNames(all: boolean): void {
    this.labels.all = all;
    this.layer.wake();
  }

  flyTo(latitude: number, longitude: number, zoom = Math.max(this.map.getZoom(), 15)): void {
    this.map.easeTo({ center: [longitude, latitude], zoom, duration: 600 });
  }

  fit(box: Area, padding = 60, maxZoom = 16): void {
    this.map.fitBounds([box.west, box.south, box.east, box.north], { padding, maxZoom, duration: 500 });
  }

  view(): Area {
    const bounds = this.map.getBounds();
    return { south: bounds.getSouth(), west: bounds.getWest(), north: bounds.getNorth(), east: bounds.getEast() };
  }

  /** Where a rider's marker is now. */
  drawnAt(rider: Rider): { latitude: number; longitude: number } {
    const [x, y] = drawnAt(rider, performance.now());
    return { latitude: latitudeOf(y), longitude: longitudeOf(x) };
  }

  /** Groups when zoomed out, single riders when near or few. At most once a second while positions come. */
  updateClusters(now = performance.now()): void {
    const grouped = this.map.getZoom() < CLUSTERS_BELOW_ZOOM && this.riders.list.length > CLUSTERS_ABOVE_RIDERS;
    const was = this.layer.hidden;
    this.layer.hidden = this.labels.hidden = grouped;
    if (grouped !== was) this.layer.wake();
    if (!grouped && !was) return;
    if (grouped === was && now - this.#clusteredAt < CLUSTER_EVERY_MS) return;
    this.#clusteredAt = now;
    this.set("clusters", grouped ? clusters(this.riders, this.map.getZoom()) : NOTHING);
  }

  #style() {
    return baseStyle(this.#tilesFailed ? { ...this.config, tile_url: "" } : this.config, currentTheme());
  }

  #furnish(): void {
    for (const cleanup of this.#perStyle.splice(0)) cleanup();
    const theme = currentTheme();
    const tiles = this.config.tile_url && !this.#tilesFailed;
    if (!tiles || isTemplate(this.config.tile_url)) this.#perStyle.push(addOutlines(this.map, theme, i18n.language));
    if (!tiles) this.#perStyle.push(addGrid(this.map, theme));
    this.#attribute();
    addOverlays(this.map, theme);
    this.map.addLayer(this.layer);
    for (const [overlay, data] of this.#data) setOverlay(this.map, overlay, data);
    this.events.styled();
  }

  #attribute(): void {
    const tiles = this.config.tile_url && !this.#tilesFailed;
    const outlines = !tiles || isTemplate(this.config.tile_url);
    const customAttribution = [...(tiles ? [this.config.tile_attribution] : []), ...(outlines ? [i18n.t.map.attribution] : [])];
    const control = new maplibre.AttributionControl({ compact: true, customAttribution });
    this.map.addControl(control, "bottom-right");
    this.#perStyle.push(() => this.map.removeControl(control));
  }

  /** A style that cannot be fetched leaves nothing to see; the outlines take its place. */
  #failed(error: unknown): void {
    if (!this.#tilesComplained) {
      this.#tilesComplained = true;
      console.warn("map:", error);
      if (this.config.tile_url) toasts.say(i18n.t.map.tilesFailed, "bad");
    }
    const styleUrl = this.config.tile_url && !isTemplate(this.config.tile_url);
    if (styleUrl && !this.#tilesFailed && !this.map.isStyleLoaded() && this.map.getLayer("riders") === undefined) {
      this.#tilesFailed = true;
      this.map.setStyle(this.#style(), { diff: false });
    }
  }

  #moved(): void {
    this.#clusteredAt = 0;
    this.updateClusters();
    this.events.view();
  }

  #click(event: maplibre.MapMouseEvent): void {
    if (this.drawing) return;
    const cluster = this.#feature(event.point, ["clusters-circle", "clusters-single"]);
    if (cluster) {
      const { id } = cluster.properties as { id?: string };
      if (id) return this.events.pick(id);
      const { coordinates } = cluster.geometry as GeoJSON.Point;
      this.map.easeTo({ center: coordinates as [number, number], zoom: this.map.getZoom() + 2 });
      return;
    }
    const rider = this.#nearest(event.point);
    if (rider) return this.events.pick(rider.id);
    const cell = this.#feature(event.point, ["cells-fill"]);
    this.events.cell(cell ? String(cell.properties["cell"]) : null, event.point);
    if (!cell) this.events.pick(null);
  }

  #hover(event: maplibre.MapMouseEvent): void {
    if (this.drawing) return;
    const id = this.#nearest(event.point)?.id ?? "";
    this.#point(id);
    const hand = id || this.#feature(event.point, ["clusters-circle", "clusters-single"]);
    this.map.getCanvas().classList.toggle("pointing", Boolean(hand));
  }

  #point(id: string): void {
    if (id === this.layer.hovered) return;
    const before = this.layer.hovered;
    this.layer.hovered = this.labels.hovered = id;
    this.layer.touch(before, id);
  }

  #feature(point: maplibre.Point, wanted: string[]) {
    const layers = wanted.filter((id) => this.map.getLayer(id));
    return layers.length > 0 ? this.map.queryRenderedFeatures(point, { layers })[0] : undefined;
  }

  /** The rider whose marker is under the pointer, if any. */
  #nearest(point: { x: number; y: number }): Rider | null {
    if (this.layer.hidden) return null;
    const at = this.map.unproject([point.x, point.y]);
    const [px, py] = [maplibre.MercatorCoordinate.fromLngLat(at).x, maplibre.MercatorCoordinate.fromLngLat(at).y];
    const now = performance.now();
    let best: Rider | null = null;
    let closest = (PICK_PX / (512 * 2 ** this.map.getZoom())) ** 2;
    for (const rider of this.riders.list) {
      const [x, y] = drawnAt(rider, now);
      const far = (x - px) ** 2 + (y - py) ** 2;
      if (far < closest) [best, closest] = [rider, far];
    }
    return best;
  }
}
