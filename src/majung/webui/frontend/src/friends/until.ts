// The ends that one chooses for a decision.

const MORNING_H = 7;

/** Seven in the morning: the next one, for whoever is still up at four that of tomorrow's day. */
export function tomorrowMorning(now = new Date()): number {
  const end = new Date(now);
  end.setHours(MORNING_H, 0, 0, 0);
  if (now.getHours() >= 4) end.setDate(end.getDate() + 1);
  return end.getTime();
}

/** The end of this day; in its last hour, four in the morning. */
export function tonight(now = new Date()): number {
  const end = new Date(now);
  end.setHours(23, 59, 0, 0);
  if (end.getTime() - now.getTime() < 3_600_000) end.setHours(28, 0);
  return end.getTime();
}
