// Ranges and steps of time, in the viewer's own zone: sums are kept by the hour, and put into the viewer's days.
export const HOUR = 3600000, DAY = 24 * HOUR;
export const RANGES = [["day", "Last 24 hours"], ["week", "Last 7 days"], ["month", "Last 30 days"], ["this-month", "This month"], ["custom", "From … to …"]];
export const OFFSET = Math.trunc(-new Date().getTimezoneOffset() / 60);

export const day = (at) => `${at.getFullYear()}-${String(at.getMonth() + 1).padStart(2, "0")}-${String(at.getDate()).padStart(2, "0")}`;
const midnight = (text, later = 0) => { const [y, m, d] = text.split("-").map(Number); return new Date(y, m - 1, d + later); };

export function span(range, from, to) {
  const now = new Date(), next = new Date(Math.ceil(Date.now() / HOUR) * HOUR);
  let [start, end] = { day: [new Date(next - DAY), next], week: [new Date(next - 7 * DAY), next], month: [new Date(next - 30 * DAY), next],
    "this-month": [new Date(now.getFullYear(), now.getMonth(), 1), next] }[range] ?? [null, null];
  if (!start) [start, end] = from && to ? [midnight(from), midnight(to, 1)] : [new Date(next - 7 * DAY), next];
  const step = end - start <= 3 * DAY ? "hour" : "day", size = step === "hour" ? HOUR : DAY;
  const time = { start, end, before: new Date(start - (end - start)), step, size };
  time.times = [];
  for (let at = floor(start, time); at < end.getTime(); at += size) time.times.push(at / 1000);
  return time;
}
const floor = (at, { size }) => Math.floor((at.getTime() + OFFSET * HOUR) / size) * size - OFFSET * HOUR;

// The groups' values, one for each step since `start`.
export function bucketed(groups, start, time, value) {
  const first = floor(start, time), values = time.times.map(() => 0);
  for (const g of groups) {
    const at = Math.round((new Date(g.start).getTime() - first) / time.size);
    if (at >= 0 && at < values.length) values[at] += value(g);
  }
  return values;
}
