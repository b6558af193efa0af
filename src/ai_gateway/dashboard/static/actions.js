import { get } from "./api.js?v=__VERSION__";
import { empty, h, table } from "./dom.js?v=__VERSION__";
import { when } from "./format.js?v=__VERSION__";

// What is as it was, and what a new thing was not given, tells nothing.
const word = (value) => (typeof value === "string" ? value : JSON.stringify(value));
const nothing = (value) => value === null || value === undefined || ["", "[]", "{}", "false"].includes(word(value));
function how({ before, after, ...others }) {
  const lines = Object.entries(after ?? {}).filter(([name, value]) => (before ? word(before[name]) !== word(value) : !nothing(value)))
    .map(([name, value]) => [name, before && !nothing(before[name]) ? `${word(before[name])} → ${word(value)}` : word(value)]);
  return [...lines, ...Object.entries(others)].map(([name, value]) => h("div", {}, h("span", { class: "muted" }, `${name}: `), h("code", {}, word(value))));
}

export async function actions(place) {
  const page = await get("/admin/actions");
  place.replaceChildren(h("div", { class: "bar" }, h("h1", {}, "Changes"), h("span", { class: "muted" }, "who changed what, newest first")),
    h("div", { class: "panel" }, page.data.length ? table([
      { name: "Time", cell: (a) => h("span", { class: "whole" }, when(a.at)) }, { name: "By", cell: (a) => a.actor }, { name: "What", cell: (a) => a.action }, { name: "Tenant", cell: (a) => a.tenant ?? "–" },
      { name: "Of", cell: (a) => h("code", {}, a.target ?? "–") }, { name: "How", cell: (a) => how(a.detail ?? {}) },
    ], page.data) : empty("Nothing was changed yet.")));
}
