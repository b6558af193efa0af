import { api, get, may, session } from "./api.js?v=__VERSION__";
import { lines } from "./charts.js?v=__VERSION__";
import { card, confirmed, empty, h, problem, table } from "./dom.js?v=__VERSION__";
import { count, percent, usd, when } from "./format.js?v=__VERSION__";
import { OFFSET, bucketed, span } from "./time.js?v=__VERSION__";

// What a higher threshold would have kept, and of that, how much somebody called wrong.
function thresholds(steps) {
  const width = 640, height = 200, left = 44, bottom = 26, space = "http://www.w3.org/2000/svg";
  const low = steps[0].similarity, high = Math.max(low + 0.02, 1), hits = steps.reduce((sum, s) => sum + s.hits, 0);
  const points = steps.map((s, at) => {
    const kept = steps.slice(at);
    const n = kept.reduce((sum, k) => sum + k.hits, 0), bad = kept.reduce((sum, k) => sum + k.reported, 0);
    return { at: s.similarity, kept: n / hits, bad: bad / n };
  });
  const x = (v) => left + ((width - left - 8) * (v - low)) / (high - low), y = (v) => 8 + (height - bottom - 8) * (1 - v);
  const make = (name, attributes, text) => { const e = document.createElementNS(space, name); for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v); if (text) e.textContent = text; return e; };
  const picture = make("svg", { viewBox: `0 0 ${width} ${height}`, class: "curve", role: "img", "aria-label": `Of ${hits} semantic hits, those that a higher threshold would have kept, and those reported as wrong` });
  for (const part of [0, 0.5, 1]) picture.append(make("line", { x1: left, x2: width - 8, y1: y(part), y2: y(part), class: "grid" }), make("text", { x: left - 6, y: y(part) + 4, "text-anchor": "end" }, `${100 * part} %`));
  for (let at = 0; at <= 4; at++) { const v = low + ((high - low) * at) / 4; picture.append(make("text", { x: x(v), y: height - 6, "text-anchor": at === 4 ? "end" : at ? "middle" : "start" }, v.toFixed(3))); }
  const path = (part) => points.map((p) => `${x(p.at).toFixed(1)},${y(p[part]).toFixed(1)}`).join(" ");
  picture.append(make("polyline", { points: path("kept"), class: "kept" }), make("polyline", { points: path("bad"), class: "wrong" }));
  return picture;
}

export async function cache(place) {
  const time = span("week"), tenantOnly = session.tenant ?? undefined;
  const [usage, use, alike] = await Promise.all([
    get("/admin/usage", { start: time.start.toISOString(), end: time.end.toISOString(), group_by: "day", utc_offset: OFFSET }),
    get("/admin/cache/entries", { tenant: tenantOnly, limit: 10 }), get("/admin/cache/similarities", { tenant: tenantOnly })]);
  const t = usage.total, note = h("div", { "aria-live": "polite" });
  const each = (value) => bucketed(usage.groups, time.start, time, value);
  const tenant = h("input", { value: session.tenant ?? "", disabled: Boolean(session.tenant), placeholder: "every tenant" }), model = h("input", { placeholder: "every model" });
  const purge = async (event) => {
    event.preventDefault();
    if (!(await confirmed("Purge these entries? Their questions are asked anew.", "Purge"))) return;
    try {
      const given = Object.entries({ tenant: tenant.value, model: model.value }).filter(([, v]) => v);
      const done = await api("DELETE", `/admin/cache?${new URLSearchParams(given)}`);
      note.replaceChildren(h("p", { class: "good" }, `Purged ${count(done.answers)} answers.`));
    } catch (error) { note.replaceChildren(problem(error)); }
  };
  const forget = async (entry, button) => {
    if (!(await confirmed("Forget this answer? Its question is asked anew.", "Forget"))) return;
    try { await api("DELETE", `/admin/cache/${encodeURIComponent(entry.key)}`); button.replaceWith("forgotten"); }
    catch (error) { button.replaceWith(error.status === 404 ? "not stored any more" : error.message); }
  };
  const semantic = alike.steps.reduce((sum, s) => sum + s.hits, 0), wrong = alike.steps.reduce((sum, s) => sum + s.reported, 0);
  const panel = (title, ...content) => h("section", { class: "panel" }, h("h2", {}, title), content);
  place.replaceChildren(h("div", { class: "bar" }, h("h1", {}, "Cache"), h("span", { class: "muted" }, "last 7 days")),
    h("div", { class: "cards" }, card("Hit rate", percent(t.cached, t.requests), `${count(t.cached)} of ${count(t.requests)} calls`), card("Saved", usd(t.saved_usd), `beside ${usd(t.cost_usd)} spent`),
      card("Found by meaning", count(semantic), wrong ? `${count(wrong)} of them reported as wrong` : "none reported as wrong")),
    t.requests ? panel("Hits and misses", lines("Hits and misses", time.times, [
      { name: "from the cache", values: each((g) => g.cached ?? 0) }, { name: "asked", values: each((g) => (g.requests ?? 0) - (g.cached ?? 0)) }], count)) : "",
    panel("Answers that saved most", use.entries.length ? table([
      { name: "Asked for", cell: (e) => h("div", {}, e.model, h("div", { class: "muted mono" }, e.key.slice(-16))) }, ...(session.tenant ? [] : [{ name: "Tenant", cell: (e) => e.tenant }]),
      { name: "Hits", number: true, cell: (e) => count(e.hits) }, { name: "By meaning", number: true, cell: (e) => count(e.semantic) }, { name: "Saved", number: true, cell: (e) => usd(e.saved_usd) },
      { name: "Last", cell: (e) => h("a", { href: `/dashboard/calls/${e.last_call}` }, when(e.last_at)) },
      ...(may("admin", "tenant-admin") ? [{ name: "Actions", cell: (e) => { const b = h("button", { class: "small danger", onclick: () => forget(e, b) }, "Forget"); return b; } }] : []),
    ], use.entries) : empty("No answer was given twice yet."),
    use.calls >= use.looked_at ? h("p", { class: "muted" }, `Of the last ${count(use.looked_at)} calls that the cache answered.`) : ""),
    panel("Semantic threshold", alike.steps.length ? [thresholds(alike.steps), h("p", { class: "legend" }, h("span", { class: "key kept" }, "hits a threshold there would have kept"), h("span", { class: "key wrong" }, "of those, reported as wrong")),
      h("p", { class: "muted" }, "From the hits there were: it shows what raising the threshold would cost and spare. Wrong is what callers said was wrong (POST /v1/feedback, bad_cache_hit), so at least that much. What lowering it would bring no hit can tell: ai-gateway cache tune measures that on pairs of your own.")]
      : empty("No answer was found by meaning yet. See cache.semantic in the documents; ai-gateway cache tune measures thresholds on pairs of your own.")),
    may("admin", "tenant-admin") ? panel("Purge", note, h("form", { onsubmit: purge }, h("div", { class: "form" }, h("label", {}, "Tenant", tenant), h("label", {}, "Model", model)), h("button", { class: "danger", type: "submit" }, "Purge"))) : "");
}
