// Numbers, money and times, in the viewer's own language and zone.
const number = new Intl.NumberFormat();
const compact = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const time = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

export const count = (n) => (n >= 100000 ? compact.format(n) : number.format(n ?? 0));
export const percent = (part, whole) => (whole ? `${((100 * part) / whole).toFixed(part && part / whole < 0.1 ? 1 : 0)} %` : "–");
export const when = (text) => (text ? time.format(new Date(text)) : "–");
export const clock = (at) => new Date(at).toLocaleTimeString();
export const ms = (n) => (n === undefined || n === null ? "–" : n >= 1000 ? `${(n / 1000).toFixed(2)} s` : `${n.toFixed(n < 10 ? 1 : 0)} ms`);
export function usd(value) {
  const n = Number(value ?? 0);
  if (n === 0) return "$0";
  if (n < 0.01) return `$${n.toPrecision(2)}`;
  return n < 1000 ? `$${n.toFixed(2)}` : `$${compact.format(n)}`;
}
export function change(now, before) {
  if (!before) return now ? "none the period before" : "";
  const by = (100 * (now - before)) / before;
  return `${by >= 0 ? "+" : "−"}${Math.abs(by).toFixed(0)} % on the period before`;
}
