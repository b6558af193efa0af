import { api, get, may } from "./api.js?v=__VERSION__";
import { confirmed, dialog, empty, h, problem, table } from "./dom.js?v=__VERSION__";
import { count, usd, when } from "./format.js?v=__VERSION__";

const list = (text) => text.split(",").map((t) => t.trim()).filter(Boolean);
const state = (k) => (k.disabled ? h("span", { class: "bad" }, "disabled")
  : k.expires_at && new Date(k.expires_at) < new Date() ? h("span", { class: "bad" }, "expired") : h("span", { class: "good" }, "active"));

function policyOf(fields) {
  const policy = {};
  const models = list(fields.models.value);
  if (models.length) policy.models = models;
  if (fields.budget.value) policy.budgets = [{ per: "key", amount: fields.budget.value, period: fields.period.value }];
  if (fields.rate.value) policy.limits = [{ per: "key", capacity: Number(fields.rate.value), refill: Number(fields.rate.value) / 60 }];
  if (fields.most.value) policy.max_in_flight = Number(fields.most.value);
  return policy;
}

// What the form has no field for must come through an edit unharmed.
const kept = (key, policy) => {
  const old = key?.policy ?? {};
  const rest = (name, fits) => (old[name] ?? []).filter((one) => !fits(one));
  const budgets = [...rest("budgets", (b) => b.per === "key" && (b.unit ?? "usd") === "usd"), ...(policy.budgets ?? [])];
  const limits = [...rest("limits", (l) => l.per === "key" && (l.unit ?? "requests") === "requests"), ...(policy.limits ?? [])];
  const { models, max_in_flight, ...others } = old;
  return { ...others, ...policy, budgets, limits };
};

function form(key, act, done) {
  const policy = key?.policy ?? {};
  const budget = policy.budgets?.find((b) => b.per === "key" && (b.unit ?? "usd") === "usd");
  const rate = policy.limits?.find((l) => l.per === "key" && (l.unit ?? "requests") === "requests");
  const input = (name, value, more = {}) => h("input", { name, value: value ?? "", ...more });
  const fields = {
    name: input("name", key?.name, { required: true, maxlength: 256 }), tenant: input("tenant", key?.tenant, { placeholder: "default", disabled: Boolean(key) }),
    user: input("user", key?.user, { placeholder: "whoever X-User-ID names" }),
    role: h("select", { disabled: Boolean(key) }, [["", "calls only"], ["tenant-admin", "tenant admin"], ["viewer", "viewer"], ["admin", "admin"]].map(([v, t]) => h("option", { value: v, selected: (key?.role ?? "") === v }, t))),
    models: input("models", policy.models?.filter((m) => m !== "*").join(", "), { placeholder: "all; or gpt-*, claude-sonnet-*" }),
    budget: input("budget", budget?.amount, { type: "number", min: "0", step: "any", placeholder: "none" }),
    period: h("select", {}, ["month", "week", "day", "total"].map((p) => h("option", { value: p, selected: budget?.period === p }, p))),
    rate: input("rate", rate?.capacity, { type: "number", min: "1", step: "1", placeholder: "no limit of its own" }),
    most: input("most", policy.max_in_flight, { type: "number", min: "1", step: "1", placeholder: "no limit" }),
    days: input("days", "", { type: "number", min: "1", step: "1", placeholder: "never" }),
  };
  const note = h("div", { "aria-live": "polite" });
  const label = (text, field) => h("label", {}, text, field);
  return h("form", {
    onsubmit: async (event) => {
      event.preventDefault();
      try { done(await act(fields)); } catch (error) { note.replaceChildren(problem(error)); }
    },
  }, note, h("div", { class: "form" }, label("Name", fields.name), label("Tenant", fields.tenant), label("User", fields.user), label("Role", fields.role),
    label("Models it may use", fields.models), label("Budget, US dollars", fields.budget), label("per", fields.period),
    label("Calls a minute", fields.rate), label("Calls at once", fields.most), key ? "" : label("Expires after days", fields.days)),
  h("div", { class: "tools" }, h("button", { class: "main", type: "submit" }, key ? "Save" : "Make the key"),
    h("button", { type: "button", onclick: (e) => e.target.closest("dialog").close() }, "Cancel")));
}

function showOnce(issued, done) {
  const copied = h("span", { class: "muted", role: "status" });
  const box = dialog("Keep this key: it is shown only now",
    h("div", { class: "secret" }, h("code", { id: "new-key" }, issued.key),
      h("button", { onclick: async () => { await navigator.clipboard?.writeText(issued.key); copied.textContent = "copied"; } }, "Copy")), copied,
    h("div", { class: "tools" }, h("button", { class: "main", onclick: () => box.close() }, "I have it")));
  box.addEventListener("close", done);
}

export async function keys(place) {
  const shown = h("div", {});
  const load = async () => {
    const month = new Date();
    const start = new Date(Date.UTC(month.getUTCFullYear(), month.getUTCMonth(), 1)).toISOString();
    const [page, usage] = await Promise.all([get("/admin/keys", { limit: 200 }), get("/admin/usage", { start, group_by: "key" }).catch(() => ({ groups: [] }))]);
    draw(page.data, new Map(usage.groups.map((g) => [g.key, g])));
  };
  const create = () => {
    const box = dialog("New key", form(null, (f) => api("POST", "/admin/keys", {
      name: f.name.value, policy: policyOf(f), ...(f.tenant.value && { tenant: f.tenant.value }), ...(f.user.value && { user: f.user.value }),
      ...(f.role.value && { role: f.role.value }), ...(f.days.value && { expires_in: Number(f.days.value) * 86400 }),
    }), (issued) => { box.close(); showOnce(issued, load); }));
  };
  const edit = (key) => {
    const box = dialog(`Edit ${key.name}`, form(key, (f) => api("PATCH", `/admin/keys/${key.id}`, { name: f.name.value, user: f.user.value || null, policy: kept(key, policyOf(f)) }), () => { box.close(); load(); }));
  };
  const change = async (act) => { try { await act(); await load(); } catch (error) { shown.prepend(problem(error)); } };
  const rotate = async (key) => {
    if (!(await confirmed(`Rotate ${key.name}? The old key works for another day.`, "Rotate"))) return;
    await change(async () => showOnce(await api("POST", `/admin/keys/${key.id}/rotate`, { overlap_seconds: 86400 }), load));
  };
  const remove = async (key) => {
    if (await confirmed(`Delete ${key.name}? It stops working everywhere within a second.`, "Delete")) await change(() => api("DELETE", `/admin/keys/${key.id}`));
  };

  function spent(key, used) {
    const budget = key.policy?.budgets?.find((b) => b.per === "key" && (b.unit ?? "usd") === "usd");
    const cost = Number(used?.cost_usd ?? 0);
    if (!budget) return usd(cost);
    const part = budget.period === "month" ? Math.min(1, cost / Number(budget.amount || 1)) : null;
    return h("div", {}, `${usd(cost)} of ${usd(budget.amount)} a ${budget.period}`,
      part === null ? "" : h("div", { class: "meter", role: "meter", "aria-valuenow": Math.round(100 * part), "aria-valuemin": 0, "aria-valuemax": 100, "aria-label": "budget used" }, h("span", { style: { width: `${100 * part}%` } })));
  }

  function draw(data, used) {
    const editable = may("admin", "tenant-admin");
    const button = (text, act, kind = "") => h("button", { class: `small ${kind}`, onclick: act }, text);
    shown.replaceChildren(h("div", { class: "panel" }, data.length ? table([
      { name: "Name", cell: (k) => h("div", {}, k.name, " ", k.role ? h("span", { class: "chip" }, k.role) : "", h("div", { class: "muted mono" }, k.hint)) },
      { name: "State", cell: state }, { name: "Tenant", cell: (k) => k.tenant }, { name: "Models", cell: (k) => (k.policy?.models ?? ["all"]).join(", ") },
      { name: "This month", cell: (k) => spent(k, used.get(k.id)) }, { name: "Calls", number: true, cell: (k) => count(used.get(k.id)?.requests ?? 0) },
      { name: "Made", cell: (k) => when(k.created_at) },
      ...(editable ? [{ name: "Actions", cell: (k) => h("div", { class: "tools" }, button("Edit", () => edit(k)), button("Rotate", () => rotate(k)),
        button(k.disabled ? "Enable" : "Disable", () => change(() => api("PATCH", `/admin/keys/${k.id}`, { disabled: !k.disabled }))), button("Delete", () => remove(k), "danger")) }] : []),
    ], data) : empty("No key yet. Make one, and callers use it as their API key.")));
  }

  place.replaceChildren(h("div", { class: "bar" }, h("h1", {}, "Keys"), may("admin", "tenant-admin") ? h("button", { class: "main", onclick: create }, "New key") : ""), shown);
  await load();
}
