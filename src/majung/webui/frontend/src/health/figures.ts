// The figures of the strip and the health panel: what each is called, reads, and when it is bad.

import { compact, decimal, duration, milliseconds, rate } from "../i18n/format";
import { i18n } from "../i18n/index.svelte";
import { health, type Sample } from "./stats.svelte";

export interface Figure {
  id: "received" | "ack" | "lag" | "riders" | "quarantined";
  name: string;
  detail: string;
  value: string;
  unit: string;
  /** More of it, in small. */
  aside: string;
  level: "" | "warn" | "bad";
  floor: number;
  format: (value: number) => string;
  series: (sample: Sample) => number | null;
}

const ACK_WARN_MS = 250;
const ACK_BAD_MS = 500;
const LAG_WARN_S = 5;
const LAG_BAD_S = 15;

const level = (value: number | null | undefined, warn: number, bad: number): Figure["level"] =>
  value == null || value < warn ? "" : value < bad ? "warn" : "bad";

export function figures(): Figure[] {
  const t = i18n.t.health;
  const none = i18n.t.common.none;
  const stats = health.stats;
  const perMinute = health.quarantinedPerMinute;
  const received = stats?.rates["received_per_s"];
  return [
    {
      id: "received",
      name: t.positions,
      detail: t.positionsDetail,
      value: received === undefined ? none : rate(received),
      unit: t.perSecond,
      aside: "",
      level: "",
      floor: 5,
      format: compact,
      series: (sample) => sample.received,
    },
    {
      id: "ack",
      name: t.ack,
      detail: t.ackDetail,
      value: stats?.ack_p99_ms == null || stats.received === 0 ? none : milliseconds(stats.ack_p99_ms),
      unit: "",
      aside: "",
      level: level(stats?.ack_p99_ms, ACK_WARN_MS, ACK_BAD_MS),
      floor: 20,
      format: milliseconds,
      series: (sample) => sample.ack,
    },
    {
      id: "lag",
      name: t.lag,
      detail: t.lagDetail,
      value: !stats ? none : stats.lag_s < 60 ? `${decimal(stats.lag_s, stats.lag_s < 10 ? 1 : 0)}` : duration(stats.lag_s * 1000),
      unit: stats && stats.lag_s < 60 ? (i18n.language === "ko" ? i18n.t.time.s : ` ${i18n.t.time.s}`) : "",
      aside: stats ? t.records(stats.lag_records) : "",
      level: level(stats?.lag_s, LAG_WARN_S, LAG_BAD_S),
      floor: 1,
      format: (value) => `${decimal(value, value < 10 ? 1 : 0)} ${i18n.t.time.s}`,
      series: (sample) => sample.lag,
    },
    {
      id: "riders",
      name: t.riders,
      detail: t.ridersDetail,
      value: stats ? decimal(stats.riders) : none,
      unit: "",
      aside: "",
      level: "",
      floor: 5,
      format: compact,
      series: (sample) => sample.riders,
    },
    {
      id: "quarantined",
      name: t.quarantined,
      detail: t.quarantinedDetail,
      value: perMinute === null ? none : compact(Math.round(perMinute)),
      unit: t.perMinute,
      aside: "",
      level: "",
      floor: 5,
      format: compact,
      series: (sample) => sample.quarantined,
    },
  ];
}
