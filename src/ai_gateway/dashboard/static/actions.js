import { get } from "./api.js?v=__VERSION__";
import { empty, h, table } from "./dom.js?v=__VERSION__";
import { when } from "./format.js?v=__VERSION__";

export async function actions(place) {
  const page = await get("/admin/actions");
  place.replaceChildren(h("div", { class: "bar" }, h("h1", {}, "Changes"), h("span", { class: "muted" }, "who changed what, newest first")),
    h("div", { class: "panel" }, page.data.length ? table([
      { name: "Time", cell: (a) => when(a.at) }, { name: "By", cell: (a) => a.actor }, { name: "What", cell: (a) => a.action }, { name: "Tenant", cell: (a) => a.tenant ?? "–" },
      { name: "Of", cell: (a) => h("code", {}, a.target ?? "–") }, { name: "How", cell: (a) => h("code", {}, JSON.stringify(a.detail)) },
    ], page.data) : empty("Nothing was changed yet.")));
}
