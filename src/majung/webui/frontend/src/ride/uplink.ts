// The rider's positions: each as it comes, and one every 5 s from who stands still.

import { Line } from "../api/line.svelte";
import { Uplink } from "../positions/uplink.svelte";

export const uplink = new Uplink("ride", new Line("/v1/positions/stream"), { repeat_ms: 5000, least_ms: 0 });
