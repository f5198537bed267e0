// The riders as one custom layer of the map: a draw call for all of them, glides computed on the graphics
// card. Five thousand riders cost one small buffer update when something changed, and nothing between.

import type { CustomLayerInterface, Map as MapLibre } from "maplibre-gl";
import type { RiderStore } from "../live/riders";
import { latitudeOf, longitudeOf, mercatorX, mercatorY } from "./geo";
import { FLAG_HOVERED, FLAG_MOVING, FLAG_SELECTED, FLOATS, fragmentShader, vertexShader } from "./shaders";
import type { MapTheme } from "./theme";

const ANCHOR_REACH = 0.02; // mercator; float32 offsets stay finer than a decimetre
const REBASE_CLOCK_S = 3600;
const FRAME_MS = 16;
const LONGEST_WAIT_MS = 400;
const DIMMED = 0.3;
const UNIFORMS = [
  "anchor_px", "world_px", "viewport", "now", "radius",
  "moving", "still", "silent", "rim", "selected", "ratio", "opacity",
] as const; // prettier-ignore

export class RidersLayer implements CustomLayerInterface {
  readonly id = "riders";
  readonly type = "custom";
  readonly renderingMode = "2d";
  /** Clusters are shown instead. */
  hidden = false;
  /** Fainter, while something else matters (a replay). */
  dimmed = false;
  selected = "";
  hovered = "";
  theme: MapTheme;

  #map: MapLibre | null = null;
  #program: WebGLProgram | null = null;
  #buffer: WebGLBuffer | null = null;
  #array: WebGLVertexArrayObject | null = null;
  #uniforms = {} as Record<(typeof UNIFORMS)[number], WebGLUniformLocation | null>;
  #data = new Float32Array(0);
  #capacity = 0;
  #anchor: [number, number] = [0, 0];
  #clockStart = performance.now();
  #rewrite = true;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #askedAt = 0;
  #lateMs = 0;

  constructor(
    private readonly riders: RiderStore,
    theme: MapTheme,
  ) {
    this.theme = theme;
  }

  /** Draw soon; when nothing changed this costs one frame. */
  wake(): void {
    this.#map?.triggerRepaint();
  }

  /** Mark these riders changed (selection, hovering). */
  touch(...ids: string[]): void {
    for (const id of ids) {
      const rider = this.riders.byId.get(id);
      if (rider) this.riders.dirty.add(rider.slot);
    }
    this.wake();
  }

  onAdd(map: MapLibre, gl: WebGL2RenderingContext): void {
    this.#map = map;
    const program = link(gl);
    this.#program = program;
    for (const name of UNIFORMS) this.#uniforms[name] = gl.getUniformLocation(program, `u_${name}`);
    this.#array = gl.createVertexArray();
    this.#buffer = gl.createBuffer();
    this.#capacity = 0;
    this.#rewrite = true;
    gl.bindVertexArray(this.#array);
    const corners = gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, corners);
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([-1, -1, 1, -1, -1, 1, 1, 1]), gl.STATIC_DRAW);
    const corner = gl.getAttribLocation(program, "a_corner");
    gl.enableVertexAttribArray(corner);
    gl.vertexAttribPointer(corner, 2, gl.FLOAT, false, 0, 0);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.#buffer);
    let offset = 0;
    for (const [name, size] of [["from", 2], ["to", 2], ["glide", 2], ["heading", 1], ["seen", 1], ["flags", 1]] as const) {
      const at = gl.getAttribLocation(program, `a_${name}`);
      gl.enableVertexAttribArray(at);
      gl.vertexAttribPointer(at, size, gl.FLOAT, false, FLOATS * 4, offset * 4);
      gl.vertexAttribDivisor(at, 1);
      offset += size;
    }
    gl.bindVertexArray(null);
  }

  onRemove(_map: MapLibre, gl: WebGL2RenderingContext): void {
    clearTimeout(this.#timer);
    gl.deleteProgram(this.#program);
    gl.deleteBuffer(this.#buffer);
    gl.deleteVertexArray(this.#array);
    this.#map = null;
  }

  render(gl: WebGL2RenderingContext): void {
    const map = this.#map;
    if (!map) return;
    const started = performance.now();
    this.#upload(gl, map, started);
    if (this.riders.list.length > 0 && !this.hidden) this.#draw(gl, map, started);
    this.#next(started);
  }

  #draw(gl: WebGL2RenderingContext, map: MapLibre, now: number): void {
    const anchor = map.project([longitudeOf(this.#anchor[0]), latitudeOf(this.#anchor[1])]);
    const { clientWidth, clientHeight } = map.getCanvas();
    const zoom = map.getZoom();
    const u = this.#uniforms;
    gl.useProgram(this.#program);
    gl.uniform2f(u.anchor_px, anchor.x, anchor.y);
    gl.uniform1f(u.world_px, 512 * 2 ** zoom);
    gl.uniform2f(u.viewport, clientWidth, clientHeight);
    gl.uniform1f(u.now, (now - this.#clockStart) / 1000);
    gl.uniform1f(u.radius, radiusAt(zoom));
    gl.uniform1f(u.ratio, map.getPixelRatio());
    gl.uniform1f(u.opacity, this.dimmed ? DIMMED : 1);
    gl.uniform3fv(u.moving, rgb(this.theme.moving));
    gl.uniform3fv(u.still, rgb(this.theme.still));
    gl.uniform3fv(u.silent, rgb(this.theme.silent));
    gl.uniform3fv(u.rim, rgb(this.theme.marker));
    gl.uniform3fv(u.selected, rgb(this.theme.selected));
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.disable(gl.DEPTH_TEST);
    gl.disable(gl.STENCIL_TEST);
    gl.bindVertexArray(this.#array);
    gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, this.riders.list.length);
    gl.bindVertexArray(null);
  }

  /**
   * Go on drawing while something glides. A frame that comes late says that this machine is slow to draw
   * (no graphics card, for one): then it is asked less often, so that the page stays quick to use.
   */
  #next(started: number): void {
    if (this.#askedAt > 0) this.#lateMs = this.#lateMs * 0.8 + (started - this.#askedAt) * 0.2;
    this.#askedAt = 0;
    clearTimeout(this.#timer);
    if (started >= this.riders.glidesUntil || this.hidden) return;
    const wait = this.#lateMs < 2 * FRAME_MS ? 0 : Math.min(LONGEST_WAIT_MS, this.#lateMs * 1.5);
    this.#timer = setTimeout(() => {
      this.#askedAt = performance.now();
      this.#map?.triggerRepaint();
    }, wait);
  }

  #upload(gl: WebGL2RenderingContext, map: MapLibre, now: number): void {
    const { list, dirty } = this.riders;
    const centre = map.getCenter();
    const away = Math.max(
      Math.abs(mercatorX(centre.lng) - this.#anchor[0]),
      Math.abs(mercatorY(centre.lat) - this.#anchor[1]),
    );
    if (away > ANCHOR_REACH || now - this.#clockStart > REBASE_CLOCK_S * 1000) this.#rewrite = true;
    gl.bindBuffer(gl.ARRAY_BUFFER, this.#buffer);
    if (list.length > this.#capacity) {
      this.#capacity = Math.max(1024, list.length * 2);
      this.#data = new Float32Array(this.#capacity * FLOATS);
      gl.bufferData(gl.ARRAY_BUFFER, this.#data.byteLength, gl.DYNAMIC_DRAW);
      this.#rewrite = true;
    }
    if (!this.#rewrite && dirty.size === 0) return;
    const all = this.#rewrite;
    if (all) this.#rebase(map, now);
    for (const slot of all ? list.keys() : dirty) this.#write(slot);
    dirty.clear();
    gl.bufferSubData(gl.ARRAY_BUFFER, 0, this.#data, 0, list.length * FLOATS);
    this.#rewrite = false;
  }

  #rebase(map: MapLibre, now: number): void {
    const { lng, lat } = map.getCenter();
    this.#anchor = [mercatorX(lng), mercatorY(lat)];
    this.#clockStart = now;
  }

  #write(slot: number): void {
    const rider = this.riders.list[slot];
    if (!rider) return;
    const { position } = rider;
    const flags =
      (rider.moving ? FLAG_MOVING : 0) |
      (rider.id === this.selected ? FLAG_SELECTED : 0) |
      (rider.id === this.hovered ? FLAG_HOVERED : 0);
    const seenAgo = this.riders.now() - position.received_at_ms;
    this.#data.set(
      [
        rider.fromX - this.#anchor[0],
        rider.fromY - this.#anchor[1],
        rider.x - this.#anchor[0],
        rider.y - this.#anchor[1],
        (rider.startMs - this.#clockStart) / 1000,
        rider.glideMs / 1000,
        rider.heading ?? -1,
        (performance.now() - seenAgo - this.#clockStart) / 1000,
        flags,
      ],
      slot * FLOATS,
    );
  }
}

/** Radius of a marker in CSS pixels. */
export function radiusAt(zoom: number): number {
  return Math.min(8, Math.max(2.4, 2.4 + (zoom - 10) * 0.95));
}

const colours = new Map<string, Float32Array>();

function rgb(hex: string): Float32Array {
  let value = colours.get(hex);
  if (!value) {
    value = Float32Array.from([1, 3, 5], (at) => parseInt(hex.slice(at, at + 2), 16) / 255);
    colours.set(hex, value);
  }
  return value;
}

function link(gl: WebGL2RenderingContext): WebGLProgram {
  const program = gl.createProgram();
  for (const [type, source] of [
    [gl.VERTEX_SHADER, vertexShader],
    [gl.FRAGMENT_SHADER, fragmentShader],
  ] as const) {
    const shader = gl.createShader(type);
    if (!shader) throw new Error("the graphics context is lost");
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) {
    throw new Error(`riders cannot be drawn: ${gl.getProgramInfoLog(program) ?? ""}`);
  }
  return program;
}
