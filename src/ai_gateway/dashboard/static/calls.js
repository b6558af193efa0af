import { get, may } from "./api.js?v=__VERSION__";
import { empty, h, problem, select, table } from "./dom.js?v=__VERSION__";
import { count, ms, usd, when } from "./format.js?v=__VERSION__";

const MOST = 200;
const FIELDS = [["tenant", "tenant"], ["key", "key's id"], ["user", "user"], ["model", "model"], ["route", "route"], ["tag", "tag=value"]];
export const status = (c) => h("span", { class: c.error ? "bad" : "good" }, `${c.status}${c.error ? ` ${c.error}` : ""}`);
const open = (c) => document.dispatchEvent(new CustomEvent("go", { detail: `/dashboard/calls/${c.id}` }));

export async function calls(place, { query }) {
  const chosen = Object.fromEntries([...FIELDS.map(([name]) => name), "status", "words"].map((name) => [name, query.get(name) ?? ""]));
  let text = "", rows = [], next = null, waiting = [], drawing = null;
  const list = h("div", { class: "panel", "aria-live": "off" });
  const live = h("span", { class: "chip", role: "status" }, "connecting…");
  const set = (name) => (e) => { chosen[name] = e.target.value.trim(); load(); };
  const field = ([name, label]) => h("input", { placeholder: label, "aria-label": label, value: chosen[name], onchange: set(name) });
  place.replaceChildren(h("div", { class: "bar" }, h("h1", {}, "Calls"), h("div", { class: "tools" }, live,
    h("input", { placeholder: "in this list…", "aria-label": "Filter", oninput: (e) => { text = e.target.value.toLowerCase(); draw(); } }),
    select("Status", [["", "all"], ["good", "answered"], ["failed", "failed"]], chosen.status, (v) => { chosen.status = v; load(); }))),
  h("div", { class: "tools chips wide" }, FIELDS.map(field), may("admin", "tenant-admin") ? h("input", { placeholder: "words (audit)", "aria-label": "Words said", value: chosen.words, onchange: set("words") }) : ""), list);

  const holds = (c) => !text || [c.model, c.provider, c.id, c.request_id, c.requested_model, c.route, c.endpoint, c.error, c.user].some((v) => v?.toLowerCase().includes(text));
  function draw() {
    drawing = null;
    const seen = rows.filter(holds);
    const more = next && h("button", { onclick: () => load(next) }, seen.length ? "Older calls" : "Look further back");
    list.replaceChildren(seen.length ? table([
      { name: "Time", cell: (c) => when(c.at) }, { name: "Status", cell: status },
      { name: "Model", cell: (c) => h("span", {}, `${c.provider ?? "–"}/${c.model ?? c.requested_model} `, c.route ? h("span", { class: "chip" }, c.route) : "", c.cache && !["miss", "bypass"].includes(c.cache) ? h("span", { class: "chip" }, c.cache) : "") },
      { name: "User", cell: (c) => c.user }, { name: "Tokens", number: true, cell: (c) => `${count(c.input_tokens)} → ${count(c.output_tokens)}` },
      { name: "Cost", number: true, cell: (c) => (c.cost_usd === undefined ? "–" : usd(c.cost_usd)) },
      { name: "Time taken", number: true, cell: (c) => ms(c.duration_ms) },
    ], seen, open) : empty(rows.length || next || Object.values(chosen).some(Boolean) ? "No call fits the filters, as far as was looked." : "No call yet. Make one, and it shows here within a second."), more ?? "");
  }

  // Words are found in the audit, whose records know the same by other names.
  async function said(before) {
    const page = await get("/admin/audit", { text: chosen.words, tenant: chosen.tenant, key: chosen.key, user: chosen.user, model: chosen.model, limit: 100, before });
    return { next: page.next, data: page.data.map((r) => ({ ...r, at: new Date(r.at).toISOString(), cost_usd: r.cost_pico === null ? undefined : r.cost_pico / 1e12, duration_ms: r.duration_us / 1000 })) };
  }

  let turn = 0;
  async function load(before) {
    const mine = ++turn;
    const shown = Object.entries(chosen).filter(([, v]) => v);
    history.replaceState(null, "", `/dashboard/calls${shown.length ? `?${new URLSearchParams(shown)}` : ""}`);
    try {
      const { words, ...others } = chosen;
      const page = await (words ? said(before) : get("/admin/calls", { ...others, limit: 100, before }));
      if (mine !== turn) return;
      rows = before ? [...rows, ...page.data] : page.data;
      next = page.next;
      draw();
    } catch (error) { list.replaceChildren(problem(error)); }
  }
  const fits = (c) => !chosen.words && (!chosen.status || (chosen.status === "failed") === Boolean(c.error)) && (!chosen.model || [c.model, c.requested_model].includes(chosen.model))
    && ["tenant", "key", "user", "route"].every((name) => !chosen[name] || c[name] === chosen[name]) && (!chosen.tag || c.tags?.includes(chosen.tag));
  await load();
  const source = new EventSource("/admin/calls/live");
  let opened = false;
  source.onopen = () => { if (opened) load(); opened = true; live.textContent = "live"; live.className = "chip good"; };
  source.onerror = () => { live.textContent = "reconnecting…"; live.className = "chip warn"; };
  source.onmessage = (event) => {
    const known = new Set(rows.map((c) => c.id));
    const fresh = JSON.parse(event.data).filter((c) => fits(c) && !known.has(c.id));
    if (!fresh.length) return;
    rows = [...fresh, ...rows].slice(0, Math.max(MOST, Math.min(rows.length, 1000)));
    // Not under the reader's pointer more than once a frame, and not while nobody looks.
    if (!document.hidden) drawing ??= requestAnimationFrame(draw);
    else waiting = rows;
  };
  const shown = () => { if (!document.hidden && waiting.length) { waiting = []; draw(); } };
  document.addEventListener("visibilitychange", shown);
  return () => { source.close(); document.removeEventListener("visibilitychange", shown); };
}
