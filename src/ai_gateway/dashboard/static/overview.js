import { get } from "./api.js?v=__VERSION__";
import { lines } from "./charts.js?v=__VERSION__";
import { card, csv, download, empty, h, select, table } from "./dom.js?v=__VERSION__";
import { change, count, ms, percent, usd } from "./format.js?v=__VERSION__";

const HOUR = 3600000, DAY = 24 * HOUR;
const RANGES = [["day", "Last 24 hours"], ["week", "Last 7 days"], ["month", "Last 30 days"], ["this-month", "This month"]];
const GROUPS = [["model", "by model"], ["provider", "by provider"], ["tenant", "by tenant"], ["key", "by key"], ["user", "by user"]];
const hour = (t) => new Date(Math.ceil(t / HOUR) * HOUR);

function span(range) {
  const end = hour(Date.now());
  const month = new Date();
  const start = { day: new Date(end - DAY), week: new Date(end - 7 * DAY), month: new Date(end - 30 * DAY),
    "this-month": new Date(Date.UTC(month.getUTCFullYear(), month.getUTCMonth(), 1)) }[range];
  return { start, end, before: new Date(start - (end - start)), step: range === "day" ? "hour" : "day" };
}

export async function overview(place, { query }) {
  const chosen = { range: query.get("range") ?? "week", by: query.get("by") ?? "model", tenant: query.get("tenant") ?? "" };
  const body = h("div", {});
  const tools = h("div", { class: "tools" },
    select("Time", RANGES, chosen.range, (value) => { chosen.range = value; draw(); }),
    select("Group", GROUPS, chosen.by, (value) => { chosen.by = value; draw(); }),
    h("button", { onclick: () => save() }, "Export CSV"));
  place.replaceChildren(h("div", { class: "bar" }, h("h1", {}, "Overview"), tools), body);
  let shown = [];
  const save = () => download("usage.csv", csv(["start", chosen.by, "requests", "errors", "cached", "input_tokens", "output_tokens", "cost_usd", "saved_usd"], shown));
  let turn = 0;

  async function draw() {
    const mine = ++turn;
    history.replaceState(null, "", `/dashboard/overview?${new URLSearchParams(chosen)}`);
    const { start, end, before, step } = span(chosen.range);
    const tenant = chosen.tenant;
    const from = { start: start.toISOString(), end: end.toISOString(), tenant };
    const [over, groups, past, recent] = await Promise.all([
      get("/admin/usage", { ...from, group_by: step }),
      // Thousands of users over a month of days are too many: then their sums alone, without the chart.
      get("/admin/usage", { ...from, group_by: `${step},${chosen.by}` }).catch((error) => {
        if (error.status !== 400) throw error;
        return get("/admin/usage", { ...from, group_by: chosen.by });
      }),
      get("/admin/usage", { start: before.toISOString(), end: start.toISOString(), tenant, group_by: "day" }),
      get("/admin/latency", { ...from, step }),
    ]);
    if (mine !== turn) return;
    shown = groups.groups;
    render(over, groups, past, recent, start, end, step);
  }

  function render(over, groups, past, recent, start, end, step) {
    const t = over.total, p = past.total;
    const slow = recent.total;
    const tokens = t.input_tokens + t.output_tokens;
    const cards = h("div", { class: "cards" },
      card("Spend", usd(t.cost_usd), change(Number(t.cost_usd), Number(p.cost_usd))),
      card("Calls", count(t.requests), change(t.requests, p.requests)),
      card("Tokens", count(tokens), `${count(t.input_tokens)} in · ${count(t.output_tokens)} out`),
      card("Errors", percent(t.errors, t.requests), `${count(t.errors)} calls`),
      card("Cache hits", percent(t.cached, t.requests), `${usd(t.saved_usd)} saved`),
      card("Latency p50", ms(slow.p50_ms), `p95 ${ms(slow.p95_ms)} · p99 ${ms(slow.p99_ms)}`),
      card("First token p50", ms(slow.first_token_p50_ms), slow.first_token_p50_ms === null ? "no streams yet" : `p95 ${ms(slow.first_token_p95_ms)}`),
      card("Month's forecast", forecast(over, start, end), "at the pace of the range shown"));
    const points = series(over.groups, groups.groups, start, end, step);
    const panel = (title, ...content) => h("section", { class: "panel" }, h("h2", {}, title), content);
    if (!t.requests) {
      body.replaceChildren(cards, panel("Nothing yet", empty("No call was made in this time. Make one, and it shows here within seconds.")));
      return;
    }
    body.replaceChildren(...[cards,
      h("div", { class: "two" },
        panel("Spend", lines("Spend", points.times, points.cost, usd)),
        panel("Calls", lines("Calls", points.times, points.requests, count))),
      groups.groups.some((g) => g.start) && panel(`Spend ${GROUPS.find(([k]) => k === chosen.by)[1]}`, lines("Spend by group", points.times, points.groups, usd)),
      panel("Latency", lines("Latency", recent.steps.map((s) => new Date(s.start) / 1000), [
        { name: "p50", values: recent.steps.map((s) => s.p50_ms) }, { name: "p95", values: recent.steps.map((s) => s.p95_ms) },
        { name: "p99", values: recent.steps.map((s) => s.p99_ms) }, { name: "first token p50", values: recent.steps.map((s) => s.first_token_p50_ms) }], ms)),
      panel("Where it goes", breakdown(groups.groups)),
      h("p", { class: "muted" }, `Latencies are those of the last ${count(recent.sample)} calls of each ${step}. Sums are kept by the hour (UTC).`)].filter(Boolean));
  }

  function breakdown(groups) {
    const sums = new Map();
    for (const group of groups) {
      const name = group[chosen.by] ?? "–";
      const sum = sums.get(name) ?? { name, requests: 0, errors: 0, cached: 0, tokens: 0, cost: 0, saved: 0 };
      sum.requests += group.requests ?? 0; sum.errors += group.errors ?? 0; sum.cached += group.cached ?? 0;
      sum.tokens += (group.input_tokens ?? 0) + (group.output_tokens ?? 0);
      sum.cost += Number(group.cost_usd ?? 0); sum.saved += Number(group.saved_usd ?? 0);
      sums.set(name, sum);
    }
    const rows = [...sums.values()].sort((a, b) => b.cost - a.cost || b.requests - a.requests).slice(0, 50);
    return table([
      { name: chosen.by, cell: (r) => r.name }, { name: "Spend", number: true, cell: (r) => usd(r.cost) },
      { name: "Calls", number: true, cell: (r) => count(r.requests) }, { name: "Tokens", number: true, cell: (r) => count(r.tokens) },
      { name: "Errors", number: true, cell: (r) => percent(r.errors, r.requests) },
      { name: "Cached", number: true, cell: (r) => percent(r.cached, r.requests) }, { name: "Saved", number: true, cell: (r) => usd(r.saved) },
    ], rows, chosen.by === "tenant" ? (r) => { chosen.tenant = r.name; chosen.by = "model"; draw(); } : undefined);
  }

  function series(all, groups, start, end, step) {
    const size = step === "hour" ? HOUR : DAY;
    const first = Math.floor(start.getTime() / size) * size;
    const times = [];
    for (let t = first; t < end.getTime(); t += size) times.push(t / 1000);
    const at = (g) => Math.round((new Date(g.start).getTime() - first) / size);
    const blank = () => times.map(() => 0);
    const cost = blank(), requests = blank();
    for (const g of all) { cost[at(g)] += Number(g.cost_usd ?? 0); requests[at(g)] += g.requests ?? 0; }
    const by = new Map();
    for (const g of groups) {
      const name = g[chosen.by] ?? "–";
      const one = by.get(name) ?? { name, values: blank(), total: 0 };
      if (g.start) one.values[at(g)] += Number(g.cost_usd ?? 0);
      one.total += Number(g.cost_usd ?? 0);
      by.set(name, one);
    }
    const ranked = [...by.values()].sort((a, b) => b.total - a.total);
    const top = ranked.slice(0, 5), rest = ranked.slice(5);
    if (rest.length) top.push({ name: `${rest.length} others`, values: times.map((_, i) => rest.reduce((s, r) => s + r.values[i], 0)) });
    return { times, cost: [{ name: "Spend", values: cost }], requests: [{ name: "Calls", values: requests }], groups: top };
  }

  function forecast(over, start, end) {
    const now = Math.min(Date.now(), end.getTime());
    const days = Math.max((now - start) / DAY, 1 / 24);
    const today = new Date();
    const length = new Date(Date.UTC(today.getUTCFullYear(), today.getUTCMonth() + 1, 0)).getUTCDate();
    return usd((Number(over.total.cost_usd) / days) * length);
  }

  await draw();
  const again = setInterval(() => { if (!document.hidden) draw().catch(() => {}); }, 15000);
  return () => clearInterval(again);
}
