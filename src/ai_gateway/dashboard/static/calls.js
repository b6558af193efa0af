import { get } from "./api.js?v=__VERSION__";
import { card, empty, h, problem, select, table } from "./dom.js?v=__VERSION__";
import { conversation } from "./conversation.js?v=__VERSION__";
import { count, ms, usd, when } from "./format.js?v=__VERSION__";

const MOST = 200;
const status = (c) => h("span", { class: c.error ? "bad" : "good" }, `${c.status}${c.error ? ` ${c.error}` : ""}`);
const open = (c) => document.dispatchEvent(new CustomEvent("go", { detail: `/dashboard/calls/${c.id}` }));

export async function calls(place, { query }) {
  const chosen = { tenant: query.get("tenant") ?? "", key: query.get("key") ?? "", user: query.get("user") ?? "" };
  const wanted = { text: "", status: "all" };
  const list = h("div", { class: "panel", "aria-live": "off" });
  const live = h("span", { class: "chip", role: "status" }, "connecting…");
  const field = (name, label) => h("input", { placeholder: label, "aria-label": label, value: chosen[name], onchange: (e) => { chosen[name] = e.target.value.trim(); load(); } });
  place.replaceChildren(h("div", { class: "bar" }, h("h1", {}, "Calls"), h("div", { class: "tools" }, live,
    h("input", { placeholder: "model, provider, id…", "aria-label": "Filter", oninput: (e) => { wanted.text = e.target.value.toLowerCase(); draw(); } }),
    select("Status", [["all", "all"], ["good", "answered"], ["bad", "failed"]], "all", (v) => { wanted.status = v; draw(); }),
    field("tenant", "tenant"), field("key", "key's id"), field("user", "user"))), list);
  let rows = [], next = null;

  function draw() {
    const seen = rows.filter((c) => (wanted.status === "all" || (wanted.status === "bad") === Boolean(c.error))
      && (!wanted.text || [c.model, c.provider, c.id, c.request_id, c.requested_model, c.route, c.endpoint].some((v) => v?.toLowerCase().includes(wanted.text))));
    const more = next && h("button", { onclick: () => load(next) }, "Older calls");
    list.replaceChildren(seen.length ? table([
      { name: "Time", cell: (c) => when(c.at) }, { name: "Status", cell: status },
      { name: "Model", cell: (c) => h("span", {}, `${c.provider}/${c.model} `, c.route ? h("span", { class: "chip" }, c.route) : "", c.cache && c.cache !== "miss" ? h("span", { class: "chip" }, c.cache) : "") },
      { name: "User", cell: (c) => c.user }, { name: "Tokens", number: true, cell: (c) => `${count(c.input_tokens)} → ${count(c.output_tokens)}` },
      { name: "Cost", number: true, cell: (c) => (c.cost_usd === undefined ? "–" : usd(c.cost_usd)) },
      { name: "Time taken", number: true, cell: (c) => ms(c.duration_ms) },
    ], seen, open) : empty(rows.length ? "No call fits the filter." : "No call yet."), more ?? "");
  }

  async function load(before) {
    try {
      const page = await get("/admin/calls", { ...chosen, limit: 100, before });
      rows = before ? [...rows, ...page.data] : page.data;
      next = page.next;
      draw();
    } catch (error) { list.replaceChildren(problem(error)); }
  }
  await load();
  const source = new EventSource("/admin/calls/live");
  let opened = false;
  source.onopen = () => { if (opened) load(); opened = true; live.textContent = "live"; live.className = "chip good"; };
  source.onerror = () => { live.textContent = "reconnecting…"; live.className = "chip warn"; };
  source.onmessage = (event) => {
    const fits = JSON.parse(event.data).filter((c) => (!chosen.tenant || c.tenant === chosen.tenant) && (!chosen.key || c.key === chosen.key) && (!chosen.user || c.user === chosen.user));
    const known = new Set(rows.map((c) => c.id));
    const fresh = fits.filter((c) => !known.has(c.id));
    if (!fresh.length) return;
    rows = [...fresh, ...rows].slice(0, Math.max(MOST, rows.length));
    draw();
  };
  return () => source.close();
}

export async function call(place, { id }) {
  const c = await get(`/admin/calls/${id}`);
  const fact = (name, value) => value !== undefined && value !== null && value !== "" && [h("div", {}, h("dt", {}, name), h("dd", {}, value))];
  const own = Math.max(0, c.duration_ms - c.upstream_ms);
  const whole = Math.max(c.duration_ms, 0.001);
  const bar = (name, from, length, kind, text) => [h("span", {}, name),
    h("div", { class: "track" }, h("span", { class: kind, style: { left: `${(100 * from) / whole}%`, width: `${(100 * length) / whole}%` } })), h("span", { class: "muted" }, text)];
  const curl = [`curl ${location.origin}${c.endpoint} \\`, `  -H 'authorization: Bearer '"$GATEWAY_KEY" \\`, `  -H 'content-type: application/json' \\`,
    c.endpoint.includes("embeddings") ? `  -d '{"model": ${JSON.stringify(c.requested_model)}, "input": "..."}'`
      : `  -d '{"model": ${JSON.stringify(c.requested_model)}, "messages": [{"role": "user", "content": "..."}]}'`].join("\n");
  const told = h("div", { class: "panel" }, h("h2", {}, "Conversation"), h("p", { class: "muted" }, "Loading…"));
  place.replaceChildren(
    h("div", { class: "bar" }, h("h1", {}, "Call"), h("div", { class: "tools" }, h("a", { href: "/dashboard/calls" }, "All calls"),
      h("a", { href: `/dashboard/playground?model=${encodeURIComponent(c.requested_model)}` }, "Try this model"),
      h("button", { onclick: () => navigator.clipboard?.writeText(curl) }, "Copy as curl"))),
    h("div", { class: "cards" }, card("Status", status(c), c.endpoint), card("Cost", c.cost_usd === undefined ? "–" : usd(c.cost_usd), c.cache ? `cache: ${c.cache}` : ""),
      card("Tokens", count(c.input_tokens + c.output_tokens), `${count(c.input_tokens)} in · ${count(c.output_tokens)} out`), card("Time", ms(c.duration_ms), `${ms(own)} of it the gateway's`)),
    h("section", { class: "panel" }, h("h2", {}, "Where the time went"), h("div", { class: "waterfall" },
      bar("gateway", 0, own, "gateway", ms(own)),
      bar(`${c.provider} (${c.attempts} asked)`, own, c.upstream_ms, "", ms(c.upstream_ms)),
      c.first_token_ms !== undefined ? bar("to first token", own, c.first_token_ms, "", ms(c.first_token_ms)) : "")),
    h("section", { class: "panel" }, h("h2", {}, "What is known"), h("dl", { class: "facts" },
      fact("Time", when(c.at)), fact("Asked for", c.requested_model), fact("Route", c.route), fact("Provider", c.provider), fact("Model", c.model),
      fact("Tenant", c.tenant), fact("User", c.user), fact("Key", c.key), fact("Tags", c.tags?.join(", ")), fact("Stream", c.stream ? "yes" : "no"),
      fact("Prompt-cache reads", c.cache_read_tokens && count(c.cache_read_tokens)), fact("Prompt-cache writes", c.cache_write_tokens && count(c.cache_write_tokens)),
      fact("Reasoning tokens", c.reasoning_tokens && count(c.reasoning_tokens)), fact("Saved", c.saved_usd && usd(c.saved_usd)), fact("Prices of", c.price_version),
      fact("Call id", h("code", {}, c.id)), fact("Request id", h("code", {}, c.request_id)))),
    told);
  try {
    const audited = await get(`/admin/audit/${id}`);
    told.replaceChildren(h("h2", {}, "Conversation"), conversation(audited.request, audited.response),
      h("details", {}, h("summary", {}, "As it was kept"), h("pre", {}, JSON.stringify(audited, null, 2))));
  } catch {
    told.replaceChildren(h("h2", {}, "Conversation"), empty("The words of this call were not kept. AUDIT=full keeps them, for those who may read them."));
  }
}
