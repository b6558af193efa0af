import { api, get, may } from "./api.js?v=__VERSION__";
import { dialog, empty, h, problem, table } from "./dom.js?v=__VERSION__";
import { count, usd } from "./format.js?v=__VERSION__";

export async function tenants(place) {
  const shown = h("div", {});
  const load = async () => {
    const now = new Date();
    const start = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), 1)).toISOString();
    const [page, usage] = await Promise.all([get("/admin/tenants"), get("/admin/usage", { start, group_by: "tenant" }).catch(() => ({ groups: [] }))]);
    const used = new Map(usage.groups.map((g) => [g.tenant, g]));
    shown.replaceChildren(h("div", { class: "panel" }, page.data.length ? table([
      { name: "Tenant", cell: (t) => h("div", {}, h("a", { href: `/dashboard/overview?tenant=${encodeURIComponent(t.id)}` }, t.id), h("div", { class: "muted" }, t.title)) },
      { name: "State", cell: (t) => (t.disabled ? h("span", { class: "bad" }, "disabled") : h("span", { class: "good" }, "active")) },
      { name: "Budgets", cell: (t) => (t.policy.budgets ?? []).map((b) => `${b.unit === "tokens" ? count(Number(b.amount)) + " tokens" : usd(b.amount)} a ${b.period ?? "month"} per ${b.per}`).join(", ") || "–" },
      { name: "Spend this month", number: true, cell: (t) => usd(used.get(t.id)?.cost_usd) }, { name: "Calls", number: true, cell: (t) => count(used.get(t.id)?.requests ?? 0) },
      ...(may("admin") ? [{ name: "Actions", cell: (t) => (t.source === "gateway.yaml" ? h("span", { class: "muted" }, "in gateway.yaml") : h("div", { class: "tools" }, h("button", { class: "small", onclick: () => edit(t) }, "Edit rules"),
        h("button", { class: "small", onclick: async () => { try { await api("PATCH", `/admin/tenants/${t.id}`, { disabled: !t.disabled }); await load(); } catch (e) { shown.prepend(problem(e)); } } }, t.disabled ? "Enable" : "Disable"))) }] : []),
    ], page.data) : empty("No tenant yet: every key is of the tenant “default”.")));
  };
  const edit = (tenant) => {
    const id = h("input", { value: tenant?.id ?? "", required: true, disabled: Boolean(tenant) });
    const title = h("input", { value: tenant?.title ?? "" });
    const rules = h("textarea", { rows: 10, class: "mono", spellcheck: "false", value: JSON.stringify(tenant?.policy ?? {}, null, 2) });
    const note = h("div", { "aria-live": "polite" });
    const save = async (event) => {
      event.preventDefault();
      try {
        const policy = JSON.parse(rules.value || "{}");
        if (tenant) await api("PATCH", `/admin/tenants/${tenant.id}`, { title: title.value, policy });
        else await api("POST", "/admin/tenants", { id: id.value, title: title.value, policy });
        box.close();
        await load();
      } catch (error) { note.replaceChildren(problem(error)); }
    };
    const box = dialog(tenant ? `Tenant ${tenant.id}` : "New tenant", h("form", { onsubmit: save }, note, h("label", {}, "Name", id), h("label", {}, "Title", title),
      h("label", {}, "Rules that its keys inherit (JSON: models, limits, budgets, max_in_flight, …)", rules),
      h("div", { class: "tools" }, h("button", { class: "main", type: "submit" }, "Save"), h("button", { type: "button", onclick: () => box.close() }, "Cancel"))));
  };
  place.replaceChildren(h("div", { class: "bar" }, h("h1", {}, "Tenants"), may("admin") ? h("button", { class: "main", onclick: () => edit(null) }, "New tenant") : ""), shown);
  await load();
}
