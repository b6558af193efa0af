import { api, get, may } from "./api.js?v=__VERSION__";
import { confirmed, empty, h, problem, table } from "./dom.js?v=__VERSION__";
import { count, ms, percent, usd } from "./format.js?v=__VERSION__";

const KINDS = [["error_difference", "Errors", (v) => `${v < 0 ? "−" : ""}${Math.abs(100 * v).toFixed(1)} points`], ["cost_difference", "Cost of a call", (v) => `${v < 0 ? "−" : ""}${usd(Math.abs(v))}`], ["score_difference", "Score", (v) => v.toFixed(2)]];
const seconds = (s) => ms(s === undefined || s === null ? undefined : 1000 * s);

// The differences to the first variant, each a line from low to high around nought.
function intervals(report) {
  const rows = KINDS.flatMap(([field, name, show]) => {
    const found = report.variants.filter((v) => v[field]);
    const reach = Math.max(1e-12, ...found.flatMap((v) => [Math.abs(v[field].low), Math.abs(v[field].high)]));
    const at = (value) => 50 + (48 * value) / reach;
    return found.map((v) => {
      const d = v[field], said = `${show(d.value)} (${show(d.low)} to ${show(d.high)})`;
      return [h("span", {}, `${name}: ${v.name}`), h("div", { class: "track", role: "img", "aria-label": `${name} of ${v.name}: ${said}` }, h("span", { class: "zero" }),
        h("span", { class: d.significant ? "sure" : "", style: { left: `${at(d.low)}%`, width: `${at(d.high) - at(d.low)}%` } }), h("span", { class: "point", style: { left: `${at(d.value)}%` } })),
      h("span", { class: d.significant ? "" : "muted" }, said, d.significant ? " · sure" : "")];
    });
  });
  return rows.length ? h("div", { class: "intervals" }, rows) : empty("Too few calls yet to tell the variants apart.");
}

export async function experiments(place) {
  const body = h("div", {});
  place.replaceChildren(h("div", { class: "bar" }, h("h1", {}, "Experiments")), body);
  async function draw() {
    const routes = (await get("/admin/routes")).data.filter((r) => r.route.experiment);
    const reports = await Promise.all(routes.map((r) => get(`/admin/experiments/${encodeURIComponent(r.name)}`)));
    body.replaceChildren(...(reports.length ? reports.map(panel) : [h("div", { class: "panel" }, empty("No route has an experiment. Give a route `experiment` with two variants, and their comparison shows here."))]));
  }
  function panel(r) {
    const turn = async () => {
      if (r.running && !(await confirmed(`Stop ${r.experiment}? The route then works as without it.`, "Stop"))) return;
      try {
        await api("POST", `/admin/experiments/${encodeURIComponent(r.route)}/${r.running ? "stop" : "start"}`, r.running ? { reason: "by hand" } : undefined);
        await draw();
      } catch (error) { body.prepend(problem(error)); }
    };
    return h("section", { class: "panel" }, h("div", { class: "bar" }, h("h2", {}, `${r.route}: ${r.experiment} `, h("span", { class: `chip ${r.running ? "good" : "warn"}` }, r.running ? "running" : `stopped${r.stopped_because ? `: ${r.stopped_because}` : ""}`)),
      may("admin") ? h("button", { class: "small", onclick: turn }, r.running ? "Stop" : "Start") : ""),
    table([
      { name: "Variant", cell: (v) => v.name }, { name: "Share", number: true, cell: (v) => percent(v.share, 1) }, { name: "Calls", number: true, cell: (v) => count(v.calls ?? 0) },
      { name: "Errors", number: true, cell: (v) => percent(v.errors ?? 0, v.calls) }, { name: "p50", number: true, cell: (v) => seconds(v.p50_seconds) }, { name: "p95", number: true, cell: (v) => seconds(v.p95_seconds) },
      { name: "Cost of a call", number: true, cell: (v) => (v.mean_cost_usd === undefined ? "–" : usd(v.mean_cost_usd)) },
      { name: "Score", number: true, cell: (v) => (v.mean_score === undefined ? "–" : `${v.mean_score.toFixed(2)} (${count(v.scores)})`) },
      { name: "Best score", number: true, cell: (v) => (v.chance_best_score === undefined ? "–" : percent(v.chance_best_score, 1)) },
    ], r.variants, undefined, `${r.route}'s variants`), h("h2", { class: "below" }, `Beside ${r.variants[0].name}`), intervals(r),
    h("p", { class: "muted" }, `The lines hold with ${(100 * (1 - r.alpha)).toFixed(0)} % at every look; where one does not touch nought, the difference is sure.`));
  }
  await draw();
  const again = setInterval(() => { if (!document.hidden) draw().catch(() => {}); }, 15000);
  return () => clearInterval(again);
}
