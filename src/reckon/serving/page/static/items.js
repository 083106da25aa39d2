// Items: look for them, add one, see what is near it.

import { byId, make, show, table, told, visible } from "./dom.js";
import { fixed } from "./format.js";
import { get, path, send, showProblem, whenReady, wrong } from "./service.js";

const PAGE = 50; // items shown at a time
const state = {items: [], next: null, columns: new Map(), asked: 0};

// -- the list --------------------------------------------------------------------------------------------------------

async function list(after = null) {
  const asked = ++state.asked, search = byId("search").value.trim();
  const page = await get("/items", {search, after, limit: PAGE});
  if (asked !== state.asked) return; // typed on meanwhile
  state.items = after === null ? page.items : [...state.items, ...page.items];
  state.next = page.next;
  learnColumns(page.items);
  const names = [...state.columns.keys()].filter(name => state.items.some(({columns}) => name in columns));
  const rows = state.items.map(item => [told(item.id), told(item.title), ...names.map(name => cell(item.columns[name])), similarButton(item)]);
  byId("list").replaceChildren(...(rows.length ? table(["Id", "Title", ...names.map(visible), ""], rows).children : []));
  byId("more").hidden = state.next === null;
  byId("none").textContent = rows.length ? "" : search ? "No item holds this text." : "The catalog is empty. Add the first item.";
  showProblem(byId("list-problem"));
}

const cell = value => (value === null || value === undefined ? "" : told(value));

function similarButton(item) {
  return make("button", {type: "button", class: "small", "aria-label": `similar to ${visible(item.title)}`, click: async () => {
    try {
      await similar(item);
      byId("similar-heading").focus();
      byId("similar-heading").scrollIntoView({block: "nearest"});
    } catch (error) {
      showProblem(byId("list-problem"), error);
    }
  }}, "similar");
}

async function similar({id, title}) {
  const {items} = await get(`${path("items", id)}/similar`, {k: 8});
  const rows = items.map(item => make("li", {}, told(item.title || item.id), make("span", {title: "cosine of the item vectors"}, fixed(item.score))));
  const about = make("p", {class: "hint"}, "Near ", told(title || id), ", by cosine of the item vectors:");
  show(byId("similar"), about, rows.length ? make("ol", {class: "simple"}, ...rows) : make("p", {class: "empty"}, "There is no other item yet."));
}

// -- a new item ------------------------------------------------------------------------------------------------------

/** Columns that items have, with the type of their values: a field of the form for each. */
function learnColumns(items) {
  for (const {columns} of items) {
    for (const [name, value] of Object.entries(columns)) {
      if (value === null || state.columns.has(name)) continue;
      state.columns.set(name, typeof value);
      const input = make("input", {id: `column-${state.columns.size}`, "data-column": name, autocomplete: "off", inputmode: typeof value === "number" && "decimal"});
      const label = make("label", {for: input.id}, told(name), typeof value === "string" ? "" : ` (${typeof value === "number" ? "number" : "true or false"})`);
      byId("fields").append(make("div", {class: "field"}, label, input));
    }
  }
}

function columns() {
  const found = {};
  for (const input of byId("fields").querySelectorAll("input")) {
    const text = input.value.trim(), name = input.dataset.column, type = state.columns.get(name);
    if (!text) continue;
    if (type === "number" && !Number.isFinite(Number(text))) throw wrong(`${name} is a number in other items. Give one, or leave it empty.`);
    if (type === "boolean" && !["true", "false"].includes(text)) throw wrong(`${name} is true or false. Give one of them, or leave it empty.`);
    found[name] = type === "number" ? Number(text) : type === "boolean" ? text === "true" : text;
  }
  return found;
}

async function add() {
  showProblem(byId("problem"));
  byId("told").textContent = "";
  const id = byId("id").value.trim(), title = byId("title").value.trim();
  if (!id || !title) throw wrong("An item needs an id and a title.");
  const began = performance.now();
  const item = await send("PUT", path("items", id), {title, columns: columns()});
  const took = Math.round(performance.now() - began);
  byId("told").textContent = `“${visible(item.title)}” is encoded and can be recommended, after ${took} ms.`;
  await Promise.all([similar(item), list()]);
}

// -- the page --------------------------------------------------------------------------------------------------------

let timer;
const shown = (work, box) => work.catch(error => showProblem(byId(box), error));
byId("put").addEventListener("submit", event => {
  event.preventDefault();
  shown(add(), "problem");
});
byId("find").addEventListener("submit", event => {
  event.preventDefault();
  shown(list(), "list-problem");
});
byId("search").addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(() => shown(list(), "list-problem"), 200);
});
byId("more").addEventListener("click", () => shown(list(state.next), "list-problem"));
whenReady(() => shown(list(), "list-problem"));
