// Everything live on the page: the socket, the riders, and the few reactive values that lists and cards read.
// Riders themselves are not reactive (see riders.ts); `tick` counts once a second for whoever shows them.

import { api } from "../api/client";
import type { Area, Fence, LivePosition, RiderEvent } from "../api/types";
import { toasts } from "../ui/toasts.svelte";
import { RiderStore, type Rider } from "./riders";
import { LiveSocket, type SocketState } from "./socket";

const AREA = "area";
const SELECTED = "selected";
const MARGIN = 0.35; // of the view, on each side: panning a little needs no new snapshot
const TOO_LARGE = 4; // resubscribe when the watched area is this many times the view
const FENCES_WATCHED = 24;
const EVENTS_KEPT = 200;
const FADE_EVERY_S = 5; // who is silent fades, though nothing arrives
const EVENTS_EVERY_MS = 15_000;

class Live {
  readonly riders = new RiderStore();
  state = $state<SocketState>("connecting");
  retryAtMs = $state(0);
  /** Counts once a second. */
  tick = $state(0);
  count = $state(0);
  /** The first snapshot has come. */
  known = $state(false);
  selected = $state.raw<LivePosition | null>(null);
  selectedGone = $state(false);
  events = $state.raw<RiderEvent[]>([]);
  /** Called on each change of riders, before the next frame. */
  changed: () => void = () => undefined;

  #socket: LiveSocket | null = null;
  #watched: Area | null = null;
  #selectedId = "";
  #timers: ReturnType<typeof setInterval>[] = [];

  start(): void {
    const reduced = matchMedia("(prefers-reduced-motion: reduce)");
    this.riders.glide = !reduced.matches;
    this.#socket = new LiveSocket({
      state: (state, retryAtMs) => {
        this.state = state;
        this.retryAtMs = retryAtMs;
      },
      snapshot: (id, positions) => this.#snapshot(id, positions),
      positions: (positions) => this.#put(positions),
      gone: (ids) => this.#gone(ids),
      event: (event) => this.#remember([event]),
      error: (text) => toasts.say(text, "bad"),
    });
    this.#socket.open();
    this.#timers = [setInterval(() => this.#second(), 1000), setInterval(() => void this.loadEvents(), EVENTS_EVERY_MS)];
    void this.loadEvents();
  }

  stop(): void {
    this.#socket?.close();
    this.#socket = null;
    for (const timer of this.#timers) clearInterval(timer);
    this.riders.clear();
    this.#watched = null;
    this.selected = null;
    this.events = [];
    this.known = false;
  }

  /** Watch what the map shows, with a margin. */
  watch(view: Area): void {
    const watched = this.#watched;
    if (watched && contains(watched, view) && size(watched) < TOO_LARGE * size(view)) return;
    this.#watched = grow(view);
    this.#socket?.subscribe(AREA, { area: this.#watched });
  }

  /** Watch one rider wherever it goes. */
  select(id: string): void {
    if (id === this.#selectedId) return;
    this.#selectedId = id;
    this.selected = this.riders.byId.get(id)?.position ?? null;
    this.selectedGone = false;
    if (id) this.#socket?.subscribe(SELECTED, { riders: [id] });
    else this.#socket?.unsubscribe(SELECTED);
  }

  /** Hear who enters and leaves these. */
  watchFences(fences: Fence[]): void {
    const wanted = new Set(fences.slice(0, FENCES_WATCHED).map(({ fence_id }) => fence_id));
    for (const id of this.#fences) if (!wanted.has(id)) this.#socket?.unsubscribe(`fence:${id}`);
    for (const id of wanted) if (!this.#fences.has(id)) this.#socket?.subscribe(`fence:${id}`, { fence: id });
    this.#fences = wanted;
  }
  #fences = new Set<string>();

  async loadEvents(): Promise<void> {
    if (document.hidden) return;
    await api.events(100).then(
      (events) => this.#remember(events),
      () => undefined, // the stream brings them as well; a failure shows in the connection state
    );
  }

  #second(): void {
    this.tick += 1;
    this.count = this.riders.list.length;
    if (this.#selectedId) this.selected = this.riders.byId.get(this.#selectedId)?.position ?? this.selected;
    if (this.tick % FADE_EVERY_S === 0) this.changed();
  }

  #snapshot(id: string, positions: LivePosition[]): void {
    if (id === AREA) {
      this.riders.replace(positions, (rider) => rider === this.#selectedId);
      this.known = true;
      this.count = this.riders.list.length;
    }
    if (id === SELECTED && positions.length === 0 && !this.riders.byId.has(this.#selectedId)) this.selectedGone = true;
    this.#put(positions);
  }

  #put(positions: LivePosition[]): void {
    for (const position of positions) {
      this.riders.put(position);
      if (position.rider_id === this.#selectedId) {
        this.selected = position;
        this.selectedGone = false;
      }
    }
    this.changed();
  }

  #gone(ids: string[]): void {
    this.riders.remove(ids);
    if (ids.includes(this.#selectedId)) this.selectedGone = true;
    this.changed();
  }

  #remember(events: RiderEvent[]): void {
    const known = new Set(this.events.map(({ event_id }) => event_id));
    const fresh = events.filter(({ event_id }) => !known.has(event_id));
    if (fresh.length === 0) return;
    this.events = [...fresh, ...this.events].sort((a, b) => b.at_ms - a.at_ms).slice(0, EVENTS_KEPT);
  }
}

function grow({ south, west, north, east }: Area): Area {
  const dy = (north - south) * MARGIN;
  const dx = (east - west) * MARGIN;
  return {
    south: Math.max(-90, south - dy),
    west: Math.max(-180, west - dx),
    north: Math.min(90, north + dy),
    east: Math.min(180, east + dx),
  };
}

const size = ({ south, west, north, east }: Area) => (north - south) * (east - west);
const contains = (outer: Area, inner: Area) =>
  outer.south <= Math.max(-90, inner.south) &&
  outer.west <= Math.max(-180, inner.west) &&
  outer.north >= Math.min(90, inner.north) &&
  outer.east >= Math.min(180, inner.east);

export const live = new Live();
export type { Rider };
