import { api, get, may, session } from "./api.js?v=__VERSION__";
import { lines } from "./charts.js?v=__VERSION__";
import { card, confirmed, h, problem } from "./dom.js?v=__VERSION__";
import { count, percent, usd } from "./format.js?v=__VERSION__";

export async function cache(place) {
  const end = new Date(), start = new Date(end - 7 * 86400000);
  const usage = await get("/admin/usage", { start: start.toISOString(), end: new Date(Math.ceil(end / 3600000) * 3600000).toISOString(), group_by: "hour" });
  const t = usage.total, note = h("div", { "aria-live": "polite" });
  const groups = usage.groups.filter((g) => g.start).sort((a, b) => new Date(a.start) - new Date(b.start));
  const times = groups.map((g) => new Date(g.start) / 1000);
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
  place.replaceChildren(h("div", { class: "bar" }, h("h1", {}, "Cache"), h("span", { class: "muted" }, "last 7 days")),
    h("div", { class: "cards" }, card("Hit rate", percent(t.cached, t.requests), `${count(t.cached)} of ${count(t.requests)} calls`), card("Saved", usd(t.saved_usd), `beside ${usd(t.cost_usd)} spent`)),
    times.length ? h("div", { class: "panel" }, h("h2", {}, "Hits and misses"), lines("Hits and misses", times, [
      { name: "from the cache", values: groups.map((g) => g.cached ?? 0) }, { name: "asked", values: groups.map((g) => (g.requests ?? 0) - (g.cached ?? 0)) }], count)) : "",
    may("admin", "tenant-admin") ? h("div", { class: "panel" }, h("h2", {}, "Purge"), note, h("form", { onsubmit: purge }, h("div", { class: "form" }, h("label", {}, "Tenant", tenant), h("label", {}, "Model", model)), h("button", { class: "danger", type: "submit" }, "Purge"))) : "");
}
