// Elements without markup: whatever came from outside is only ever text.
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "style") Object.assign(element.style, value);
    else if (key === "value") element.value = value;
    else if (value === true) element.setAttribute(key, "");
    else element.setAttribute(key, value);
  }
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

export const empty = (text) => h("p", { class: "empty" }, text);
export const problem = (error) => h("p", { class: "error", role: "alert" }, error.message ?? String(error));

export function table(columns, rows, onrow, title = columns.map((c) => c.name).join(", ")) {
  const head = h("tr", {}, columns.map((c) => h("th", { class: c.number ? "number" : "", scope: "col" }, c.name)));
  const body = rows.map((row) => {
    const cells = columns.map((c) => h("td", { class: c.number ? "number" : "" }, c.cell(row)));
    if (!onrow) return h("tr", {}, cells);
    return h("tr", {
      class: "link", tabindex: "0", onclick: () => onrow(row),
      onkeydown: (event) => { if (event.key === "Enter") onrow(row); },
    }, cells);
  });
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `table of ${title}` }, h("table", {}, h("thead", {}, head), h("tbody", {}, body)));
}

export const card = (name, value, more) => h("div", { class: "card" },
  h("div", { class: "name" }, name), h("div", { class: "value" }, value), h("div", { class: "more" }, more ?? "\u00a0"));

export function select(label, options, value, onchange) {
  return h("select", { "aria-label": label, onchange: (event) => onchange(event.target.value) },
    options.map(([key, text]) => h("option", { value: key, selected: key === value }, text)));
}

export function dialog(title, ...content) {
  const box = h("dialog", { "aria-label": title }, h("h2", {}, title), content);
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  box.showModal();
  return box;
}

export async function confirmed(question, act) {
  return new Promise((resolve) => {
    const box = dialog(question,
      h("div", { class: "tools" },
        h("button", { class: "main", onclick: () => { box.close(); resolve(true); } }, act),
        h("button", { onclick: () => { box.close(); resolve(false); } }, "Cancel")));
    box.addEventListener("cancel", () => resolve(false));
  });
}

export function download(name, text) {
  const link = h("a", { href: URL.createObjectURL(new Blob([text], { type: "text/csv" })), download: name });
  link.click();
  URL.revokeObjectURL(link.href);
}

// A cell that begins like a formula would be run by a spreadsheet.
const cell = (value) => {
  let text = value === undefined || value === null ? "" : String(value);
  if (/^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text))) text = `'${text}`;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};
export const csv = (names, rows) => [names, ...rows.map((row) => names.map((n) => row[n]))].map((r) => r.map(cell).join(",")).join("\r\n") + "\r\n";
