import { api, get, session } from "./api.js?v=__VERSION__";
import { empty, h, problem } from "./dom.js?v=__VERSION__";
import { overview } from "./overview.js?v=__VERSION__";
import { call } from "./call.js?v=__VERSION__";
import { calls } from "./calls.js?v=__VERSION__";
import { keys } from "./keys.js?v=__VERSION__";
import { tenants } from "./tenants.js?v=__VERSION__";
import { providers } from "./providers.js?v=__VERSION__";
import { experiments } from "./experiments.js?v=__VERSION__";
import { cache } from "./cache.js?v=__VERSION__";
import { playground } from "./playground.js?v=__VERSION__";
import { actions } from "./actions.js?v=__VERSION__";

const PAGES = [
  ["overview", "Overview", overview, ["admin", "viewer", "tenant-admin"]],
  ["calls", "Calls", calls, ["admin", "viewer", "tenant-admin"]],
  ["keys", "Keys", keys, ["admin", "viewer", "tenant-admin"]],
  ["tenants", "Tenants", tenants, ["admin", "viewer", "tenant-admin"]],
  ["providers", "Providers and routes", providers, ["admin", "viewer"]],
  ["experiments", "Experiments", experiments, ["admin", "viewer"]],
  ["cache", "Cache", cache, ["admin", "viewer", "tenant-admin"]],
  ["playground", "Playground", playground, ["admin", "viewer", "tenant-admin"]],
  ["actions", "Changes", actions, ["admin", "viewer", "tenant-admin"]],
];
const root = document.getElementById("app");
let leaving = null;

const FAILED = {
  refused: "The provider did not let you in.", out_of_date: "That took too long, or was begun elsewhere. Try again.", not_valid: "The provider's answer could not be trusted. Try again.",
  no_role: "You are known there, but have no role here. Ask whoever runs this gateway.", away: "The provider cannot be reached at the moment. Try again.",
};

function signIn(message) {
  const key = h("input", { type: "password", autocomplete: "current-password", required: true, id: "key", spellcheck: "false" });
  const offers = session.sign_in ?? [], why = new URLSearchParams(location.search).get("sign_in");
  message ??= why && (FAILED[why] ?? FAILED.not_valid);
  const note = h("div", { "aria-live": "polite" }, message ? problem(new Error(message)) : "");
  const form = h("form", {
    class: "panel", onsubmit: async (event) => {
      event.preventDefault();
      try {
        Object.assign(session, await api("POST", "/dashboard/session", { key: key.value }));
        start();
      } catch (error) { note.replaceChildren(problem(error)); key.select(); }
    },
  }, h("h1", {}, "AI Gateway"), note, offers.length ? h("div", { class: "offers" }, offers.map((o) =>
    h("a", { class: "button main", href: `/dashboard/sign-in/${encodeURIComponent(o.name)}?to=${encodeURIComponent(location.pathname)}`, "data-leaves": true }, `Sign in with ${o.title}`)), h("div", { class: "or" }, "or")) : "",
  h("p", { class: "muted" }, "Sign in with the admin key, or with a key that has a role."),
  h("label", {}, "Key", key), h("button", { class: offers.length ? "" : "main", type: "submit" }, "Sign in"));
  root.replaceChildren(h("main", { class: "sign", id: "main" }, form));
  document.title = "Sign in · AI Gateway";
  if (!offers.length) key.focus();
}

async function show() {
  leaving?.();
  leaving = null;
  const path = location.pathname.replace(/^\/dashboard\/?/, "") || "overview";
  const [name, id] = path.split("/");
  const found = PAGES.find(([n]) => n === name) ?? PAGES[0];
  const place = h("main", { id: "main", tabindex: "-1" }, h("p", { class: "empty", role: "status" }, "Loading…"));
  const nav = PAGES.filter(([, , , roles]) => roles.includes(session.role)).map(([n, title]) =>
    h("a", { class: "nav", href: `/dashboard/${n}`, "aria-current": n === found[0] ? "page" : undefined }, title));
  const out = h("button", { class: "small", onclick: async () => { const { go } = await api("DELETE", "/dashboard/session"); location.assign(go ?? "/dashboard"); } }, "Sign out");
  const role = session.tenant ? `${session.role} of ${session.tenant}` : session.role;
  const who = session.name && session.name !== session.role ? [h("div", {}, session.name), role] : role;
  root.replaceChildren(h("div", { class: "shell" },
    h("nav", { class: "side", "aria-label": "Pages" },
      h("div", { class: "brand" }, h("img", { src: "/dashboard/static/icon.svg", alt: "" }), "AI Gateway"), nav,
      h("div", { class: "foot" }, h("div", {}, who), h("div", {}, `version ${session.version}`), out)), place));
  document.title = `${found[1]} · AI Gateway`;
  try {
    const page = id && found[0] === "calls" ? call : found[2];
    leaving = (await page(place, { id: id && decodeURIComponent(id), query: new URLSearchParams(location.search) })) ?? null;
  } catch (error) {
    place.replaceChildren(h("h1", {}, found[1]), problem(error));
  }
}

export function go(path) {
  history.pushState(null, "", path);
  show();
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='/dashboard']");
  if (!link || link.dataset.leaves !== undefined || event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
  event.preventDefault();
  go(link.getAttribute("href"));
});
document.addEventListener("go", (event) => go(event.detail));
window.addEventListener("popstate", show);

async function start() {
  try {
    Object.assign(session, await get("/dashboard/session"));
  } catch (error) { signIn(error.message); return; }
  if (session.state === "signed_in") await show();
  else if (session.state === "no_admin_key") {
    root.replaceChildren(h("main", { class: "sign", id: "main" }, h("div", { class: "panel" }, h("h1", {}, "AI Gateway"),
      empty("There is no admin key yet. Start the gateway with ADMIN_KEY set, then sign in with it."))));
  } else signIn();
}
start();
