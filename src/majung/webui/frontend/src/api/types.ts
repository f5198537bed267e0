// What the server says, field by field (positions/model.py and the handlers of serve/http).
// Degrees are WGS 84, times Unix milliseconds, lengths metres.

export interface LivePosition {
  rider_id: string;
  latitude: number;
  longitude: number;
  device_time_ms: number;
  received_at_ms: number;
  accuracy_m?: number | null;
  speed_mps?: number | null;
  heading_deg?: number | null;
  tags?: Record<string, string> | null;
  kind?: string;
}

export interface TrackPoint {
  device_time_ms: number;
  latitude: number;
  longitude: number;
  accuracy_m?: number | null;
  speed_mps?: number | null;
  heading_deg?: number | null;
  session_id?: string;
  seq?: number;
  mark?: "" | "inaccurate" | "jump" | "late";
}

export interface Track {
  rider_id: string;
  points: TrackPoint[];
}

export interface CellLoad {
  cell: string;
  members: number;
  reads_per_s: number;
}

export interface QuarantineItem {
  id: number;
  received_at_ms: number;
  rider_id: string;
  principal: string;
  door: string;
  reason: string;
  detail: string;
  payload: string;
}

export interface QuarantinePage {
  items: QuarantineItem[];
  /** How many are held for each reason. */
  reasons: Record<string, number>;
  next_before_id: number | null;
}

interface Circle {
  latitude: number;
  longitude: number;
  radius_m: number;
}

/** A fence has exactly one of `circle`, `polygon` and `near`. */
export interface NewFence {
  name: string;
  circle?: Circle;
  polygon?: [latitude: number, longitude: number][];
  near?: Circle;
  dwell_s?: number;
}

export interface Fence extends NewFence {
  fence_id: string;
}

export interface RiderEvent {
  event_id: string;
  rider_id: string;
  kind: string;
  fence_id?: string | null;
  fence_name?: string | null;
  at_ms: number;
  latitude?: number | null;
  longitude?: number | null;
}

/** observe/stats.py: totals, rates a second, and what is wrong. */
export interface Stats {
  now_ms: number;
  riders: number;
  viewers: number;
  received: number;
  accepted: number;
  quarantined: number;
  refused: number;
  pending: number;
  processed: number;
  deduplicated: number;
  stored: number;
  shown: number;
  late: number;
  marked: number;
  lag_records: number;
  lag_s: number;
  ack_p99_ms: number | null;
  ledger_errors: { equation: string; difference: number }[];
  tasks_down: string[];
  damage: string[];
  waiting_for_storage: string;
  rates: Record<string, number>;
}

export interface MapConfig {
  tile_url: string;
  tile_attribution: string;
  latitude: number;
  longitude: number;
  zoom: number;
  version: string;
  /** Set where the server is a demo: the rider's page offers a simulated position. */
  demo_place?: { latitude: number; longitude: number } | null;
}

export interface Area {
  south: number;
  west: number;
  north: number;
  east: number;
}
