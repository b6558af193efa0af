import { get } from "./api.js?v=__VERSION__";
import { h, problem } from "./dom.js?v=__VERSION__";
import { ms, usd } from "./format.js?v=__VERSION__";

let key = "";

export async function playground(place, { query }) {
  const models = h("input", { value: query.get("model") || "gpt-4o, claude-sonnet-4-5", "aria-label": "Models" });
  const system = h("textarea", { rows: 2 }), prompt = h("textarea", { rows: 5, required: true });
  const temperature = h("input", { type: "number", min: 0, max: 2, step: 0.1, placeholder: "the model's own" }), most = h("input", { type: "number", min: 1, step: 1, placeholder: "the model's own" });
  const secret = h("input", { type: "password", autocomplete: "off", value: key, placeholder: "sk-gw-… (kept here alone)", oninput: (e) => { key = e.target.value; } });
  const cached = h("input", { type: "checkbox", checked: true, class: "tick" });
  const answers = h("div", { class: "answers" });
  let stop = new AbortController(), before = [];
  prompt.value = "Say hello in three languages.";
  const earlier = h("div", {});
  // A call's own words, brought along from its page; they stay in this tab.
  const replay = query.get("replay") && JSON.parse(sessionStorage.getItem("replay") ?? "null");
  if (replay) {
    system.value = replay.system ?? ""; prompt.value = replay.prompt ?? ""; temperature.value = replay.temperature ?? ""; most.value = replay.most ?? "";
    before = replay.before ?? [];
    earlier.replaceChildren(!replay.whole ? h("p", { class: "warn" }, "The words of that call were not kept whole: write them here.")
      : before.length ? h("details", {}, h("summary", {}, `${before.length} turns before the prompt go along`), h("div", { class: "turns" }, before.map((m) => h("div", { class: `turn ${m.role === "assistant" ? "answer" : ""}` }, h("div", { class: "muted" }, m.role), h("div", { class: "said" }, m.content)))),
        h("button", { class: "small", type: "button", onclick: () => { before = []; earlier.replaceChildren(); } }, "Leave them out")) : "");
  }

  async function ask(model) {
    const text = h("pre", { "aria-live": "polite" }, ""), facts = h("p", { class: "muted" }, "asking…");
    answers.append(h("section", { class: "panel" }, h("h2", {}, model), text, facts));
    const started = performance.now();
    let first = null, usage = null;
    const body = { model, stream: true, stream_options: { include_usage: true }, messages: [...(system.value ? [{ role: "system", content: system.value }] : []), ...before, { role: "user", content: prompt.value }] };
    if (temperature.value) body.temperature = Number(temperature.value);
    if (most.value) body.max_tokens = Number(most.value);
    const headers = { "content-type": "application/json" };
    if (key) headers.authorization = `Bearer ${key}`;
    if (!cached.checked) headers["cache-control"] = "no-cache";
    try {
      const answer = await fetch("/v1/chat/completions", { method: "POST", headers, body: JSON.stringify(body), signal: stop.signal, credentials: "omit" });
      if (!answer.ok) throw new Error((await answer.json().catch(() => null))?.error?.message ?? `answered ${answer.status}`);
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let held = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        held += value;
        const events = held.split("\n\n");
        held = events.pop();
        for (const event of events) {
          const data = event.replace(/^data: ?/, "");
          if (!data || data === "[DONE]") continue;
          const chunk = JSON.parse(data);
          if (chunk.error) throw new Error(chunk.error.message);
          const said = chunk.choices?.[0]?.delta?.content;
          if (said) { first ??= performance.now() - started; text.append(said); }
          usage = chunk.usage ?? usage;
        }
      }
      const told = (name) => answer.headers.get(name);
      facts.textContent = [`${told("x-gateway-provider")}/${told("x-gateway-model")}`, `first token ${ms(first ?? undefined)}`, `all ${ms(performance.now() - started)}`,
        usage ? `${usage.prompt_tokens} → ${usage.completion_tokens} tokens` : "", `cache: ${told("x-gateway-cache") ?? "–"}`, told("x-gateway-notes") ?? ""].filter(Boolean).join(" · ");
      facts.append(" · ", await costed(told("x-gateway-call-id")));
    } catch (error) { facts.replaceWith(problem(error)); }
  }

  // A stream's cost is known at its end, and in the ledger within a second.
  async function costed(id) {
    for (let tries = 0; id && tries < 5; tries++) {
      await new Promise((resolve) => setTimeout(resolve, 500));
      const call = await get(`/admin/calls/${id}`).catch(() => null);
      if (call) return h("a", { href: `/dashboard/calls/${id}` }, call.cost_usd === undefined ? "no price is known" : call.saved_usd ? `$0, ${usd(call.saved_usd)} saved` : usd(call.cost_usd));
    }
    return "cost: not in the ledger yet";
  }

  const run = async (event) => {
    event.preventDefault();
    stop.abort();
    stop = new AbortController();
    answers.replaceChildren();
    await Promise.all(models.value.split(",").map((m) => m.trim()).filter(Boolean).slice(0, 4).map(ask));
  };
  const label = (text, field) => h("label", {}, text, field);
  place.replaceChildren(h("div", { class: "bar" }, h("h1", {}, "Playground")),
    h("form", { class: "panel", onsubmit: run }, h("div", { class: "form" }, label("Models or routes, up to four", models), label("A key to call with", secret), label("Temperature", temperature), label("Output tokens at most", most)),
      label("System prompt", system), earlier, label("Prompt", prompt), h("label", {}, cached, " take answers from the cache"),
      h("div", { class: "tools" }, h("button", { class: "main", type: "submit" }, "Ask"), h("button", { type: "button", onclick: () => stop.abort() }, "Stop"))), answers);
  return () => stop.abort();
}
