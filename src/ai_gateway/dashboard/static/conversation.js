import { empty, h } from "./dom.js?v=__VERSION__";

const parsed = (text) => { try { return JSON.parse(text); } catch { return null; } };
const pretty = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));
const list = (value) => (Array.isArray(value) ? value : value === undefined || value === null ? [] : [value]);

// A part of a message, in any of the dialects. Only pictures that came along are drawn: nothing is fetched.
function part(one) {
  if (typeof one === "string") return h("div", { class: "said" }, one);
  if (!one || typeof one !== "object") return [];
  const url = one.image_url?.url ?? one.image_url ?? (one.source?.data && `data:${one.source.media_type};base64,${one.source.data}`)
    ?? (one.inlineData && `data:${one.inlineData.mimeType};base64,${one.inlineData.data}`);
  if (typeof url === "string") return /^data:image\/(png|jpeg|gif|webp);/.test(url) ? h("img", { src: url, alt: "picture of the call" }) : h("span", { class: "chip" }, "picture: ", url.slice(0, 200));
  const call = one.function ?? one.functionCall ?? (["tool_use", "function_call"].includes(one.type) ? one : null);
  if (call) return h("div", {}, h("span", { class: "chip" }, "calls ", call.name), h("pre", {}, pretty(call.arguments ?? call.args ?? call.input)));
  if (one.type === "tool_result" || one.functionResponse || one.type === "function_call_output") return h("div", {}, h("span", { class: "chip" }, "tool's result"), h("pre", {}, pretty(one.content ?? one.output ?? one.functionResponse?.response)));
  const text = one.text ?? one.thinking ?? one.refusal;
  if (typeof text === "string") return h("div", { class: one.thinking ? "said muted" : "said" }, text);
  return h("pre", {}, pretty(one));
}
const turn = (role, ...parts) => h("div", { class: `turn ${role === "assistant" || role === "model" ? "answer" : ""}` }, h("div", { class: "muted" }, String(role)), parts.flat().map(part));
const message = (m) => (m && typeof m === "object" ? turn(m.role ?? m.type ?? "message", list(m.content ?? m.parts ?? (m.tool_calls ? [] : m)), list(m.tool_calls)) : turn("user", [m]));

export function conversation(request, response) {
  if (!request && !response) return empty("The words of this call were not kept. AUDIT=full keeps them.");
  const asked = parsed(request), got = parsed(response), turns = [];
  if (asked && typeof asked === "object") {
    const system = asked.system ?? asked.instructions ?? asked.systemInstruction?.parts;
    if (system) turns.push(turn("system", list(system)));
    turns.push(...list(asked.messages ?? asked.contents ?? asked.input).map(message));
  } else if (request) turns.push(turn("request", [request]));
  if (got && typeof got === "object") {
    const answers = got.choices?.map((c) => c.message ?? { role: "assistant", content: c.text }) ?? got.candidates?.map((c) => c.content) ?? got.output
      ?? (got.content ? [{ role: "assistant", content: got.content }] : [got]);
    turns.push(...list(answers).map(message));
  } else if (response) turns.push(turn("assistant", [response]));
  return h("div", { class: "turns" }, turns);
}

// The words of a chat in any of the dialects, for the playground: the last question, what stood before it, the system's.
export function textOf(request) {
  const asked = parsed(request);
  if (!asked || typeof asked !== "object") return {};
  const words = (content) => list(content).map((p) => (typeof p === "string" ? p : p?.text ?? "")).filter(Boolean).join("\n");
  const turns = list(asked.messages ?? asked.contents ?? asked.input).map((m) => (typeof m === "string" ? { role: "user", content: m } : { role: m.role === "model" ? "assistant" : m.role ?? "user", content: words(m.content ?? m.parts) }));
  const system = [words(asked.system ?? asked.instructions ?? asked.systemInstruction?.parts), ...turns.filter((m) => ["system", "developer"].includes(m.role)).map((m) => m.content)].filter(Boolean).join("\n");
  const said = turns.filter((m) => ["user", "assistant"].includes(m.role) && m.content);
  const last = said.at(-1)?.role === "user" ? said.pop() : null;
  const settings = asked.generationConfig ?? asked;
  return { system, before: said, prompt: last?.content ?? "", temperature: settings.temperature, most: asked.max_completion_tokens ?? asked.max_output_tokens ?? settings.maxOutputTokens ?? asked.max_tokens };
}
