import { get, session } from "./api.js?v=__VERSION__";
import { card, empty, h, table } from "./dom.js?v=__VERSION__";
import { conversation, textOf } from "./conversation.js?v=__VERSION__";
import { count, ms, usd, when } from "./format.js?v=__VERSION__";
import { status } from "./calls.js?v=__VERSION__";

const TITLES = { guard: "guardrails", recall: "cache looked up", admit: "limits and budgets" };

// Each step and attempt a bar from its beginning to its end, over the whole call.
function waterfall(c) {
  const whole = Math.max(c.duration_ms, 0.001);
  const bar = (name, from, to, kind, text) => [h("span", { class: "name" }, name),
    h("div", { class: "track", role: "img", "aria-label": `${name}: ${ms(from)} to ${ms(to)}` }, h("span", { class: kind, style: { left: `${(100 * Math.min(from, whole)) / whole}%`, width: `${(100 * Math.max(0, to - from)) / whole}%` } })),
    h("span", { class: "muted" }, ms(to - from), text ? [" ", text] : "")];
  const steps = (c.steps ?? []).map((s) => bar(TITLES[s.name] ?? s.name, s.start_ms, s.end_ms, "gateway"));
  const asked = (c.asked ?? []).map((a, at) => {
    const last = at === c.asked.length - 1, first = last && c.first_token_ms !== undefined ? a.start_ms + c.first_token_ms : null;
    return [bar(`${a.provider}/${a.model}`, a.start_ms, a.end_ms, a.error ? "failed" : "", a.error ? h("span", { class: "bad" }, `${a.status || ""} ${a.error}`) : a.status || ""),
      first ? [bar("to its first token", a.start_ms, first, "waited"), bar("streaming", first, a.end_ms, "flowed")] : ""];
  });
  if (!steps.length && !asked.length) return [bar("the gateway's own", 0, whole - c.upstream_ms, "gateway"), bar(c.provider, whole - c.upstream_ms, whole, "")];
  return [bar("the whole call", 0, whole, "whole"), steps, asked];
}

// The call again, by the shell: its own words where they were kept, else a place for them.
function curl(c, request) {
  const body = request ?? JSON.stringify(c.endpoint.includes("embeddings") ? { model: c.requested_model, input: "..." } : { model: c.requested_model, messages: [{ role: "user", content: "..." }] });
  return [`curl ${location.origin}${c.endpoint} \\`, `  -H "authorization: Bearer $GATEWAY_KEY" \\`, `  -H 'content-type: application/json' \\`, `  -d '${body.replaceAll("'", "'\\''")}'`].join("\n");
}

export async function call(place, { id }) {
  const c = await get(`/admin/calls/${id}`);
  const fact = (name, value) => value !== undefined && value !== null && value !== "" && [h("div", {}, h("dt", {}, name), h("dd", {}, value))];
  const filtered = (name, value) => value && h("a", { href: `/dashboard/calls?${new URLSearchParams({ [name]: value })}` }, value);
  const told = h("div", { class: "panel" }, h("h2", {}, "Conversation"), h("p", { class: "muted" }, "Loading…"));
  const audited = get(`/admin/audit/${id}`).catch(() => null);
  const copied = h("span", { class: "muted", role: "status" });
  const again = async () => {
    const kept = await audited;
    const request = kept?.request && !kept.cut ? kept.request : null;
    sessionStorage.setItem("replay", JSON.stringify({ model: c.requested_model, ...(request && textOf(request)), whole: Boolean(request) }));
    document.dispatchEvent(new CustomEvent("go", { detail: `/dashboard/playground?model=${encodeURIComponent(c.requested_model)}&replay=1` }));
  };
  const copy = async () => {
    const kept = await audited, text = curl(c, kept?.request && !kept.cut ? kept.request : null);
    try { await navigator.clipboard.writeText(text); copied.textContent = kept?.request ? "copied" : "copied, with a place for the words"; } catch { copied.replaceChildren(h("pre", {}, text)); }
  };
  const trace = session.trace_url && c.trace_id && h("a", { href: session.trace_url.replace("{trace_id}", c.trace_id), rel: "noreferrer", target: "_blank" }, "Trace");
  const own = Math.max(0, c.duration_ms - c.upstream_ms);
  const kinds = [["Input", c.input_tokens], ["of it read from the prompt cache", c.cache_read_tokens], ["of it written to the prompt cache", c.cache_write_tokens], ["Output", c.output_tokens], ["of it reasoning", c.reasoning_tokens], ["Audio, in and out", c.audio_tokens]].filter(([, n], at) => n || at === 0 || at === 3);
  place.replaceChildren(
    h("div", { class: "bar" }, h("h1", {}, "Call"), h("div", { class: "tools" }, copied, h("a", { href: "/dashboard/calls" }, "All calls"), trace || "",
      c.operation === "chat" ? h("button", { onclick: again }, "Replay in the playground") : "", h("button", { onclick: copy }, "Copy as curl"))),
    h("div", { class: "cards" }, card("Status", status(c), c.endpoint), card("Cost", c.cost_usd === undefined ? "–" : usd(c.cost_usd), c.saved_usd ? `${usd(c.saved_usd)} saved` : c.price_version ?? "no price is known"),
      card("Tokens", count(c.input_tokens + c.output_tokens), c.usage_known === false ? "as far as known" : `${count(c.input_tokens)} in · ${count(c.output_tokens)} out`), card("Time", ms(c.duration_ms), `${ms(own)} of it the gateway's`)),
    h("section", { class: "panel" }, h("h2", {}, "Where the time went"), h("div", { class: "waterfall" }, waterfall(c))),
    h("div", { class: "two" }, h("section", { class: "panel" }, h("h2", {}, "Tokens by kind"), table([{ name: "Kind", cell: (k) => k[0] }, { name: "Tokens", number: true, cell: (k) => count(k[1] ?? 0) }], kinds)),
      h("section", { class: "panel" }, h("h2", {}, "Cache"), h("dl", { class: "facts" }, fact("Outcome", c.cache ?? "not looked at"), fact("Similarity", c.similarity?.toFixed(4)), fact("Saved", c.saved_usd && usd(c.saved_usd)), fact("Key", c.cache_key && h("code", {}, c.cache_key))))),
    h("section", { class: "panel" }, h("h2", {}, "What is known"), h("dl", { class: "facts" },
      fact("Time", when(c.at)), fact("Asked for", c.requested_model), fact("Route", filtered("route", c.route)), fact("Provider", c.provider), fact("Model", filtered("model", c.model)),
      fact("Tenant", filtered("tenant", c.tenant)), fact("User", filtered("user", c.user)), fact("Key", filtered("key", c.key)), fact("Tags", c.tags?.map((t) => h("div", {}, filtered("tag", t)))), fact("Stream", c.stream ? "yes" : "no"),
      fact("Prices of", c.price_version), fact("Call id", h("code", {}, c.id)), fact("Request id", h("code", {}, c.request_id)), fact("Trace id", c.trace_id && h("code", {}, c.trace_id)))),
    told);
  const kept = await audited;
  told.replaceChildren(h("h2", {}, "Conversation"), ...(kept ? [conversation(kept.request, kept.response), h("details", {}, h("summary", {}, "As it was kept"), h("pre", {}, JSON.stringify(kept, null, 2)))]
    : [empty("The words of this call were not kept. AUDIT=full keeps them, for those who may read them.")]));
}
