import { get } from "./api.js?v=__VERSION__";
import { lines, spark } from "./charts.js?v=__VERSION__";
import { card, csv, download, empty, h, problem, select, table } from "./dom.js?v=__VERSION__";
import { change, count, ms, percent, usd } from "./format.js?v=__VERSION__";
import { DAY, OFFSET, RANGES, bucketed, day, span } from "./time.js?v=__VERSION__";

const GROUPS = [["model", "by model"], ["provider", "by provider"], ["route", "by route"], ["tenant", "by tenant"], ["key", "by key"], ["user", "by user"], ["tag", "by tag"]];
// Sums are kept by one of these at a time.
const SUBJECTS = ["key", "user", "route", "tag"];
const FILTERS = ["tenant", "key", "user", "route", "tag", "provider", "model"];
const EXPORTED = ["requests", "errors", "cached", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens", "cost_usd", "saved_usd"];
const SLOW = 300000;

export async function overview(place, { query }) {
  const chosen = { range: "week", by: "model", from: "", to: "" };
  for (const name of [...Object.keys(chosen), ...FILTERS]) chosen[name] = query.get(name) ?? chosen[name] ?? "";
  const body = h("div", {}), note = h("div", { "aria-live": "polite" }), chips = h("div", { class: "tools chips" }), now = h("section", { class: "panel now", "aria-label": "Now" });
  const group = select("Group", [], chosen.by, (value) => { chosen.by = value; draw(); });
  const date = (name, label) => h("input", { type: "date", "aria-label": label, value: chosen[name], max: day(new Date()), onchange: (e) => { chosen[name] = e.target.value; draw(); } });
  const dates = h("div", { class: "tools" }, date("from", "From"), "to", date("to", "To"));
  const range = select("Time", RANGES, chosen.range, (value) => {
    if (value === "custom" && !chosen.from) {
      [chosen.from, chosen.to] = [day(new Date(Date.now() - 7 * DAY)), day(new Date())];
      const [from, to] = dates.querySelectorAll("input");
      [from.value, to.value] = [chosen.from, chosen.to];
    }
    chosen.range = value;
    draw();
  });
  place.replaceChildren(h("div", { class: "bar" }, h("h1", {}, "Overview"), h("div", { class: "tools" }, range, dates, group, h("button", { onclick: save }, "Export CSV"))), chips, note, now, body);
  let turn = 0, slow = { key: "", at: 0 }, drawn = 0, fresh = false;

  const wanted = () => Object.fromEntries(FILTERS.map((name) => [name, chosen[name]]));
  const report = (from, more) => get("/admin/usage", { ...from, ...wanted(), utc_offset: OFFSET, ...more });

  function filter(changes) {
    for (const [name, value] of Object.entries(changes)) {
      // One subject at a time: the new one takes the other's place.
      if (value && SUBJECTS.includes(name)) for (const other of SUBJECTS) chosen[other] = "";
      chosen[name] = value;
    }
    draw();
  }

  function tools() {
    const subject = SUBJECTS.find((name) => chosen[name]);
    const groups = GROUPS.filter(([name]) => !chosen[name] && !(subject && SUBJECTS.includes(name)));
    if (!groups.some(([name]) => name === chosen.by)) chosen.by = groups[0]?.[0] ?? "model";
    group.replaceChildren(...groups.map(([name, text]) => h("option", { value: name, selected: name === chosen.by }, text)));
    dates.hidden = chosen.range !== "custom";
    const kind = h("select", { "aria-label": "Filter by" }, FILTERS.filter((name) => !chosen[name]).map((name) => h("option", { value: name, selected: name === "model" }, name)));
    const value = h("input", { "aria-label": "Filter value", placeholder: "filter…" });
    const add = (event) => {
      event.preventDefault();
      if (!value.value.trim()) return;
      if (kind.value === "user" && !chosen.tenant) note.replaceChildren(problem(new Error("Users belong to a tenant: filter by that first.")));
      else filter({ [kind.value]: value.value.trim() });
    };
    chips.replaceChildren(...FILTERS.filter((name) => chosen[name]).map((name) => h("button", { class: "chip", "aria-label": `Remove the filter ${name} ${chosen[name]}`, onclick: () => filter(name === "tenant" ? { tenant: "", user: "" } : { [name]: "" }) }, `${name}: ${chosen[name]} ×`)),
      h("form", { class: "tools", onsubmit: add }, kind, value, h("button", { class: "small", type: "submit" }, "Add filter")));
  }

  async function draw() {
    const mine = ++turn;
    tools();
    const shown = Object.fromEntries(Object.entries(chosen).filter(([name, value]) => value && (chosen.range === "custom" || !["from", "to"].includes(name))));
    history.replaceState(null, "", `/dashboard/overview?${new URLSearchParams(shown)}`);
    const time = span(chosen.range, chosen.from, chosen.to);
    if (!(time.start < time.end)) { note.replaceChildren(problem(new Error("The first day must come before the last."))); return; }
    const from = { start: time.start.toISOString(), end: time.end.toISOString() };
    const byGroup = ["model", "provider"].includes(chosen.by) ? chosen.by : undefined;
    try {
      const [over, groups, recent, before] = await Promise.all([
        report(from, { group_by: time.step }), grouped(from, time),
        get("/admin/latency", { ...from, ...wanted(), step: time.step, group_by: byGroup, utc_offset: OFFSET }).catch((error) => { if (error.status !== 400) throw error; return null; }),
        past(from, time),
      ]);
      if (mine !== turn) return;
      note.replaceChildren();
      drawn = Date.now();
      fresh = false;
      render(over, groups, recent, before, time);
    } catch (error) { if (mine === turn) note.replaceChildren(problem(error)); }
  }

  // Thousands of users make no chart: those that cost most make a table, and the first five a line each.
  async function grouped(from, time) {
    const by = chosen.by;
    if (!SUBJECTS.includes(by)) return (await report(from, { group_by: `${time.step},${by}` })).groups;
    const top = (await report(from, { group_by: `tenant,${by}`, top: 50 })).groups;
    const series = await Promise.all(top.slice(0, 5).map((one) => report(from, { tenant: one.tenant, [by]: one[by], group_by: time.step })));
    return top.map((one, at) => ({ ...one, over: series[at]?.groups }));
  }

  // What does not change from one look to the next is asked for every few minutes.
  async function past(from, time) {
    const today = new Date(), month = new Date(today.getFullYear(), today.getMonth(), 1);
    const key = JSON.stringify([from, chosen]);
    if (slow.key !== key || Date.now() - slow.at > SLOW) {
      const until = new Date(Math.ceil(Date.now() / 3600000) * 3600000).toISOString();
      const [before, spent, week] = await Promise.all([
        report({ start: time.before.toISOString(), end: from.start }, { group_by: time.step }),
        report({ start: month.toISOString(), end: until }, { group_by: "" }), report({ start: new Date(Date.now() - 7 * DAY).toISOString(), end: until }, { group_by: "" }),
      ]);
      slow = { key, at: Date.now(), before, spent: Number(spent.total.cost_usd), week: Number(week.total.cost_usd) };
    }
    return slow;
  }

  function render(over, groups, recent, before, time) {
    const t = over.total, p = before.before.total, l = recent?.total;
    const today = new Date(), left = (new Date(today.getFullYear(), today.getMonth() + 1, 1) - today) / DAY;
    const cards = h("div", { class: "cards" },
      card("Spend", usd(t.cost_usd), change(Number(t.cost_usd), Number(p.cost_usd))),
      card("Calls", count(t.requests), change(t.requests, p.requests)),
      card("Tokens", count(t.input_tokens + t.output_tokens), `${count(t.input_tokens)} in · ${count(t.output_tokens)} out`),
      card("Errors", percent(t.errors, t.requests), p.requests ? `${percent(p.errors, p.requests)} the period before` : `${count(t.errors)} calls`),
      card("Cache hits", percent(t.cached, t.requests), `${usd(t.saved_usd)} saved`),
      card("Latency p50", ms(l?.p50_ms), l ? `p95 ${ms(l.p95_ms)} · p99 ${ms(l.p99_ms)}` : "for up to 100 days"),
      card("First token p50", ms(l?.first_token_p50_ms), l?.first_token_p50_ms === null ? "no streams yet" : l ? `p95 ${ms(l.first_token_p95_ms)}` : ""),
      card("Month's forecast", usd(before.spent + (before.week / 7) * left), `${usd(before.spent)} so far · last week's pace`));
    const panel = (title, ...content) => h("section", { class: "panel" }, h("h2", {}, title), content);
    if (!t.requests) {
      body.replaceChildren(cards, panel("Nothing yet", empty("No such call was made in this time. Make one, and it shows here within seconds.")));
      return;
    }
    const each = (list, value, s = time.start) => bucketed(list, s, time, value);
    const cost = (g) => Number(g.cost_usd ?? 0), calls = (g) => g.requests ?? 0;
    const both = (name, value) => [{ name, values: each(over.groups, value) }, { name: "the period before", before: true, values: each(before.before.groups, value, time.before) }];
    const times = time.times, byGroup = series(groups, each, cost);
    const steps = recent?.steps.map((s) => new Date(s.start) / 1000);
    const named = (part, text) => ({ name: text, values: recent.steps.map((s) => s[part]) });
    body.replaceChildren(...[cards,
      h("div", { class: "two" }, panel("Spend", lines("Spend", times, both("Spend", cost), usd)), panel("Calls", lines("Calls", times, both("Calls", calls), count))),
      byGroup.length && panel(`Spend ${GROUPS.find(([k]) => k === chosen.by)[1]}`, lines("Spend by group", times, byGroup, usd)),
      recent && panel("Latency", lines("Latency", steps, [named("p50_ms", "p50"), named("p95_ms", "p95"), named("p99_ms", "p99"), named("first_token_p50_ms", "first token p50")], ms)),
      recent?.groups.length > 1 && panel(`Latency p95 by ${chosen.by}`, lines("Latency by group", steps, recent.groups.slice(0, 6).map((g) => ({ name: g.name, values: g.steps.map((s) => s.p95_ms) })), ms)),
      panel("Where it goes", breakdown(groups, recent)),
      recent && h("p", { class: "muted" }, `Latencies are of at most ${count(recent.sample)} calls of each ${time.step}, taken from all of it. Sums are kept by the hour.`)].filter(Boolean));
  }

  function series(groups, each, cost) {
    if (SUBJECTS.includes(chosen.by)) return groups.filter((g) => g.over).map((g) => ({ name: g[chosen.by], values: each(g.over, cost) }));
    const by = Map.groupBy ? Map.groupBy(groups, (g) => g[chosen.by] ?? "–") : groups.reduce((m, g) => m.set(g[chosen.by] ?? "–", [...(m.get(g[chosen.by] ?? "–") ?? []), g]), new Map());
    const total = (list) => list.reduce((sum, g) => sum + cost(g), 0);
    const ranked = [...by].sort(([, a], [, b]) => total(b) - total(a));
    const top = ranked.slice(0, 5).map(([name, list]) => ({ name, values: each(list, cost) })), rest = ranked.slice(5).flatMap(([, list]) => list);
    if (rest.length) top.push({ name: ranked.length === 6 ? "1 other" : `${ranked.length - 5} others`, values: each(rest, cost) });
    return top;
  }

  function breakdown(groups, recent) {
    const sums = new Map();
    for (const g of groups) {
      const name = g[chosen.by] ?? "–", id = SUBJECTS.includes(chosen.by) ? `${g.tenant} ${name}` : name;
      const sum = sums.get(id) ?? { name, tenant: g.tenant, requests: 0, errors: 0, cached: 0, tokens: 0, cost: 0, saved: 0 };
      sum.requests += g.requests ?? 0; sum.errors += g.errors ?? 0; sum.cached += g.cached ?? 0;
      sum.tokens += (g.input_tokens ?? 0) + (g.output_tokens ?? 0);
      sum.cost += Number(g.cost_usd ?? 0); sum.saved += Number(g.saved_usd ?? 0);
      sums.set(id, sum);
    }
    const rows = [...sums.values()].sort((a, b) => b.cost - a.cost || b.requests - a.requests).slice(0, 50);
    const times = new Map(recent?.groups.map((g) => [g.name, g.total]));
    const many = new Set(rows.map((r) => r.tenant)).size > 1;
    const drill = (r) => filter({ ...(SUBJECTS.includes(chosen.by) && { tenant: r.tenant }), [chosen.by]: r.name });
    return table([
      { name: chosen.by, cell: (r) => [r.name, many && SUBJECTS.includes(chosen.by) ? h("span", { class: "chip" }, r.tenant) : ""] }, { name: "Spend", number: true, cell: (r) => usd(r.cost) },
      { name: "Calls", number: true, cell: (r) => count(r.requests) }, { name: "Tokens", number: true, cell: (r) => count(r.tokens) },
      { name: "Errors", number: true, cell: (r) => percent(r.errors, r.requests) },
      { name: "Cached", number: true, cell: (r) => percent(r.cached, r.requests) }, { name: "Saved", number: true, cell: (r) => usd(r.saved) },
      ...(times.size ? [["p50", "p50_ms"], ["p95", "p95_ms"], ["p99", "p99_ms"], ["First token", "first_token_p50_ms"]].map(([name, part]) => ({ name, number: true, cell: (r) => ms(times.get(r.name)?.[part]) })) : []),
    ], rows, drill);
  }

  async function save() {
    const time = span(chosen.range, chosen.from, chosen.to), from = { start: time.start.toISOString(), end: time.end.toISOString() };
    const names = SUBJECTS.includes(chosen.by) ? ["tenant", chosen.by] : [chosen.by];
    try {
      // With too many groups for a row a day, a row each.
      const whole = await report(from, { group_by: [time.step, ...names].join(",") }).catch((error) => {
        if (error.status !== 400) throw error;
        return report(from, { group_by: names.join(",") });
      });
      download("usage.csv", csv(["start", ...names, ...EXPORTED], whole.groups));
    } catch (error) { note.replaceChildren(problem(error)); }
  }

  // What comes in now, by server-sent events; the sums are asked for anew where something came.
  const recently = [];
  const source = new EventSource("/admin/usage/live");
  source.onmessage = (event) => {
    const one = JSON.parse(event.data);
    fresh ||= one.requests > 0;
    recently.push(one);
    if (recently.length > 90) recently.shift();
    const last = recently.slice(-30), seconds = last.reduce((sum, o) => sum + o.seconds, 0), sum = (part) => last.reduce((s, o) => s + Number(o[part]), 0);
    const rate = (n) => (n >= 10 ? count(Math.round(n)) : n.toFixed(1));
    now.replaceChildren(h("span", { class: "chip good" }, "live"), spark("Calls a second, the last three minutes", recently.map((o) => o.requests / o.seconds)),
      h("span", {}, h("b", {}, rate(one.requests / one.seconds)), " calls a second"), h("span", {}, h("b", {}, usd((60 * sum("cost_usd")) / seconds)), " a minute"),
      h("span", {}, h("b", {}, count(Math.round((60 * sum("tokens")) / seconds))), " tokens a minute"), h("span", { class: sum("errors") ? "bad" : "" }, h("b", {}, percent(sum("errors"), sum("requests"))), " errors, the last minute"));
  };
  source.onopen = () => { if (!recently.length) now.replaceChildren(h("span", { class: "chip good" }, "live"), h("span", { class: "muted" }, "the first figures come in a few seconds")); };
  source.onerror = () => now.replaceChildren(h("span", { class: "chip warn" }, "reconnecting…"));
  now.replaceChildren(h("span", { class: "chip" }, "connecting…"));
  await draw();
  const again = setInterval(() => { if (!document.hidden && (fresh || Date.now() - drawn > SLOW)) draw(); }, 15000);
  return () => { clearInterval(again); source.close(); };
}
