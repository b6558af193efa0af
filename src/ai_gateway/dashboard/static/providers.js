import { api, get, may } from "./api.js?v=__VERSION__";
import { lines } from "./charts.js?v=__VERSION__";
import { empty, h, problem, table } from "./dom.js?v=__VERSION__";
import { clock, count, ms, percent, usd, when } from "./format.js?v=__VERSION__";
import { DAY, HOUR, bucketed, span } from "./time.js?v=__VERSION__";

const KINDS = { closed: "good", open: "bad", "half-open": "warn" };
const seconds = (s) => (s < 90 ? `${Math.ceil(s)} s` : s < 5400 ? `${Math.round(s / 60)} min` : s < 172800 ? `${Math.round(s / 3600)} h` : `${count(Math.round(s / 86400))} days`);

// What the breaker did, newest first.
const past_ = (changes) => h("details", {}, h("summary", {}, `${changes.length} ${changes.length === 1 ? "change" : "changes"}`), h("ol", { class: "changes" }, [...changes].reverse().map((c) =>
  h("li", {}, h("span", { class: "muted", title: when(1000 * c.at) }, Date.now() - 1000 * c.at < DAY ? clock(1000 * c.at) : when(1000 * c.at)), " ", h("span", { class: KINDS[c.from] }, c.from), " → ", h("span", { class: KINDS[c.to] }, c.to), ` (${c.cause})`))));

// What the provider said is left, for each of its credentials.
const quota = (credentials) => (credentials ?? []).flatMap((c) => [
  ...(c.quotas ?? []).map((q) => h("div", { class: "quota" }, `${credentials.length > 1 ? `key ${c.number + 1}: ` : ""}${count(q.remaining)}${q.limit ? ` of ${count(q.limit)}` : ""} ${q.unit.replace("_", " ")}${q.resets_in && !(q.remaining > 0.9 * q.limit) ? `, whole in ${seconds(q.resets_in)}` : ""}`,
    q.limit ? h("div", { class: "meter", role: "meter", "aria-label": `${q.unit} left`, "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.round((100 * q.remaining) / q.limit) }, h("span", { style: { width: `${Math.min(100, (100 * q.remaining) / q.limit)}%` } })) : "")),
  c.resting_for ? h("div", { class: c.refused ? "bad" : "warn" }, `key ${c.number + 1} ${c.refused ? "was refused" : "rests"}, ${seconds(c.resting_for)} more`) : ""]);

export async function providers(place) {
  const health = h("div", { class: "panel" }), routes = h("div", { class: "panel" }), told = h("div", { "aria-live": "polite" }), charts = h("div", {});
  const draw = async () => {
    const hour = { start: new Date(Date.now() - HOUR).toISOString(), group_by: "route,provider,model" };
    const [now, list, shares] = await Promise.all([get("/admin/health"), get("/admin/routes"), get("/admin/usage", hour).catch(() => ({ groups: [] }))]);
    const force = async (t, state) => { try { await api("PUT", `/admin/breakers/${encodeURIComponent(t.provider)}/${encodeURIComponent(t.model)}`, { state }); await draw(); } catch (e) { health.prepend(problem(e)); } };
    const button = (text, act) => h("button", { class: "small", onclick: act }, text);
    // What a reader has unfolded stays so.
    const unfolded = new Set([...health.querySelectorAll("details[open]")].map((d) => d.dataset.of));
    const breaker = (t) => {
      const past = t.changes?.length ? past_(t.changes) : null, of = `${t.provider}/${t.model}`;
      if (past) { past.dataset.of = of; past.open = unfolded.has(of); }
      return [h("span", { class: KINDS[t.state] ?? "warn" }, t.state, t.forced ? " (by hand)" : "", t.cause ? h("span", { class: "muted" }, ` ${t.cause}`) : "", t.retry_in ? h("span", { class: "muted" }, `, tried again in ${seconds(t.retry_in)}`) : ""), past ?? ""];
    };
    health.replaceChildren(h("h2", {}, "Health"), h("p", {}, now.ready ? h("span", { class: "good" }, "Ready to serve") : h("span", { class: "bad" }, "Not ready: ", now.reasons.join("; ")), now.notes?.length ? h("span", { class: "warn" }, " · ", now.notes.join("; ")) : ""),
      now.targets.length ? table([
        { name: "Provider", cell: (t) => t.provider }, { name: "Model", cell: (t) => t.model }, { name: "Breaker", cell: breaker },
        { name: "Errors", number: true, cell: (t) => `${(100 * (t.error_rate ?? 0)).toFixed(1)} %` }, { name: "p95", number: true, cell: (t) => ms(t.p95_seconds === undefined ? undefined : 1000 * t.p95_seconds) },
        { name: "In flight", number: true, cell: (t) => t.in_flight ?? 0 },
        { name: "Quota left", cell: (t) => { const found = quota(t.credentials).filter(Boolean); return found.length ? found : h("span", { class: "muted" }, "not told"); } },
        ...(may("admin") ? [{ name: "Actions", cell: (t) => h("div", { class: "tools" }, t.forced ? button("Let go", () => force(t, null)) : [button("Open", () => force(t, "open")), button("Close", () => force(t, "closed"))]) }] : []),
      ], now.targets) : empty("No provider has been asked since this process began."));
    const of = (route) => shares.groups.filter((g) => g.route === route);
    const share = (r) => {
      const found = of(r.name), all = found.reduce((sum, g) => sum + g.requests, 0);
      if (!all) return h("span", { class: "muted" }, "no call in the last hour");
      return found.sort((a, b) => b.requests - a.requests).map((g) => h("div", {}, `${g.provider}/${g.model} ${percent(g.requests, all)}`, h("div", { class: "meter", role: "img", "aria-label": `${percent(g.requests, all)} of the calls` }, h("span", { style: { width: `${(100 * g.requests) / all}%` } }))));
    };
    routes.replaceChildren(h("h2", {}, "Routes"), list.data.length ? table([
      { name: "Route", cell: (r) => h("a", { href: `/dashboard/overview?range=day&by=model&route=${encodeURIComponent(r.name)}` }, r.name) }, { name: "Strategy", cell: (r) => r.route.strategy ?? "priority" },
      { name: "Targets", cell: (r) => r.route.targets.map((t) => h("div", {}, t.model, (t.weight ?? 1) === 1 ? "" : h("span", { class: "muted" }, ` × ${t.weight}`))) },
      { name: "Answered by, last hour", cell: share }, { name: "Calls", number: true, cell: (r) => count(of(r.name).reduce((sum, g) => sum + g.requests, 0)) }, { name: "From", cell: (r) => r.origin },
    ], list.data) : empty("No route: callers name models themselves. Routes give one name to several targets."));
  };
  // The last day, by the hour.
  const chart = async () => {
    const time = span("day"), from = { start: time.start.toISOString(), end: time.end.toISOString() };
    const [sums, latency] = await Promise.all([get("/admin/usage", { ...from, group_by: "hour,provider" }), get("/admin/latency", { ...from, step: "hour", group_by: "provider" })]);
    if (!sums.groups.length) { charts.replaceChildren(); return; }
    const names = latency.groups.map((g) => g.name).slice(0, 6);
    const of = (name) => sums.groups.filter((g) => g.provider === name);
    const errors = names.map((name) => {
      const failed = bucketed(of(name), time.start, time, (g) => g.errors ?? 0), all = bucketed(of(name), time.start, time, (g) => g.requests ?? 0);
      return { name, values: failed.map((n, at) => (all[at] ? (100 * n) / all[at] : null)) };
    });
    const panel = (title, ...content) => h("section", { class: "panel" }, h("h2", {}, title), content);
    charts.replaceChildren(h("div", { class: "two" },
      panel("Latency p95, last 24 hours", lines("Latency by provider", latency.steps.map((s) => new Date(s.start) / 1000), latency.groups.slice(0, 6).map((g) => ({ name: g.name, values: g.steps.map((s) => s.p95_ms) })), ms)),
      panel("Errors, last 24 hours", lines("Errors by provider", time.times, errors, (v) => `${v.toFixed(v < 10 ? 1 : 0)} %`))));
  };
  const model = h("input", { value: "gpt-4o", "aria-label": "Model or route" }), prompt = h("textarea", { rows: 3, "aria-label": "Prompt" });
  prompt.value = "Hello";
  const explain = async (event) => {
    event.preventDefault();
    try {
      const answer = await api("POST", "/admin/routes/explain", { body: { model: model.value, messages: [{ role: "user", content: prompt.value }] } });
      told.replaceChildren(h("p", {}, `Strategy ${answer.strategy}; asked in this order:`), table([
        { name: "#", cell: (c) => c.place }, { name: "Target", cell: (c) => `${c.provider}/${c.model}` }, { name: "Expected cost", number: true, cell: (c) => (c.cost_usd === undefined ? "–" : usd(c.cost_usd)) },
        { name: "Expected time", number: true, cell: (c) => ms(c.seconds === undefined ? undefined : 1000 * c.seconds) }, { name: "Speaks against it", cell: (c) => c.against?.join("; ") || "nothing" },
      ], [...answer.order, ...(answer.left_out ?? [])]));
    } catch (error) { told.replaceChildren(problem(error)); }
  };
  place.replaceChildren(h("div", { class: "bar" }, h("h1", {}, "Providers and routes")), health, charts, routes,
    h("div", { class: "panel" }, h("h2", {}, "Explain a call"), h("form", { onsubmit: explain }, h("div", { class: "form" }, h("label", {}, "Model or route", model), h("label", {}, "Prompt", prompt)), h("button", { type: "submit" }, "Explain")), told));
  await Promise.all([draw(), chart().catch(() => {})]);
  const again = setInterval(() => { if (!document.hidden) draw().catch(() => {}); }, 5000);
  const charting = setInterval(() => { if (!document.hidden) chart().catch(() => {}); }, 60000);
  return () => { clearInterval(again); clearInterval(charting); };
}
