import { api, get, may } from "./api.js?v=__VERSION__";
import { empty, h, problem, table } from "./dom.js?v=__VERSION__";
import { ms, usd } from "./format.js?v=__VERSION__";

const KINDS = { closed: "good", open: "bad", "half-open": "warn" };

export async function providers(place) {
  const health = h("div", { class: "panel" }), routes = h("div", { class: "panel" }), told = h("div", { "aria-live": "polite" });
  const draw = async () => {
    const [now, list] = await Promise.all([get("/admin/health"), get("/admin/routes")]);
    const force = async (t, state) => { try { await api("PUT", `/admin/breakers/${encodeURIComponent(t.provider)}/${encodeURIComponent(t.model)}`, { state }); await draw(); } catch (e) { health.prepend(problem(e)); } };
    const button = (text, act) => h("button", { class: "small", onclick: act }, text);
    health.replaceChildren(h("h2", {}, "Health"), h("p", {}, now.ready ? h("span", { class: "good" }, "Ready to serve") : h("span", { class: "bad" }, "Not ready: ", now.reasons.join("; ")), now.notes?.length ? h("span", { class: "warn" }, " · ", now.notes.join("; ")) : ""),
      now.targets.length ? table([
        { name: "Provider", cell: (t) => t.provider }, { name: "Model", cell: (t) => t.model },
        { name: "Breaker", cell: (t) => h("span", { class: KINDS[t.state] ?? "warn" }, t.state, t.forced ? " (by hand)" : "", t.cause ? h("span", { class: "muted" }, ` ${t.cause}`) : "") },
        { name: "Errors", number: true, cell: (t) => `${(100 * (t.error_rate ?? 0)).toFixed(1)} %` }, { name: "p95", number: true, cell: (t) => ms(t.p95_seconds === undefined ? undefined : 1000 * t.p95_seconds) },
        { name: "In flight", number: true, cell: (t) => t.in_flight ?? 0 },
        ...(may("admin") ? [{ name: "Actions", cell: (t) => h("div", { class: "tools" }, t.forced ? button("Let go", () => force(t, null)) : [button("Open", () => force(t, "open")), button("Close", () => force(t, "closed"))]) }] : []),
      ], now.targets) : empty("No provider has been asked since this process began."));
    routes.replaceChildren(h("h2", {}, "Routes"), list.data.length ? table([
      { name: "Route", cell: (r) => r.name }, { name: "Strategy", cell: (r) => r.route.strategy ?? "priority" },
      { name: "Targets", cell: (r) => r.route.targets.map((t) => h("div", {}, t.model, (t.weight ?? 1) === 1 ? "" : h("span", { class: "muted" }, ` × ${t.weight}`))) }, { name: "From", cell: (r) => r.origin },
    ], list.data) : empty("No route: callers name models themselves. Routes give one name to several targets."));
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
  place.replaceChildren(h("div", { class: "bar" }, h("h1", {}, "Providers and routes")), health, routes,
    h("div", { class: "panel" }, h("h2", {}, "Explain a call"), h("form", { onsubmit: explain }, h("div", { class: "form" }, h("label", {}, "Model or route", model), h("label", {}, "Prompt", prompt)), h("button", { type: "submit" }, "Explain")), told));
  await draw();
  const again = setInterval(() => { if (!document.hidden) draw().catch(() => {}); }, 5000);
  return () => clearInterval(again);
}
