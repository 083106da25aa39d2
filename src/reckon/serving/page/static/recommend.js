// The first page: whom to recommend to, the reasoning while it is written, the ranked items, and what one does with them.

import { showAnswer, showMore, SOURCES } from "./answer.js";
import { byId, make, offer, show, told, visible } from "./dom.js";
import { eventTime } from "./format.js";
import { events, get, path, Problem, send, showProblem, whenReady, wrong } from "./service.js";

const SHOWN = 100; // events of a history
const OFFERED = 20; // choices under an input
const state = {
  typed: [], // items of a typed history, oldest first
  answer: null, // what was answered last
  shown: null, // the same, with what it was asked for
  types: {}, // what the buttons beside an item send
  running: null, // ends the stream
};
const chosen = name => document.querySelector(`input[name=${name}]:checked`).value;
const byUser = () => chosen("whom") === "user";

// -- whom ------------------------------------------------------------------------------------------------------------

async function offerUsers() {
  const prefix = byId("user").value.trim();
  const {items} = await get("/users", {after: prefix, limit: OFFERED});
  offer(byId("users"), items.filter(({id}) => id.startsWith(prefix)).map(({id}) => [id, ""]));
}

async function offerTitles() {
  const search = byId("title").value.trim();
  const {items} = await get("/items", {search, limit: OFFERED});
  offer(byId("titles"), items.map(({id, title}) => [title, id]));
}

/** Add what is typed to the history; false where no item is meant. */
async function addTyped() {
  const search = byId("title").value.trim();
  const {items} = await get("/items", {search, limit: 1000});
  const same = text => text.toLowerCase() === search.toLowerCase();
  const found = items.find(({id}) => id === search) || items.find(({title}) => same(title)) || (items.length === 1 ? items[0] : null);
  if (!found) {
    const what = items.length ? `${items.length} items hold “${search}”. Type more of the title, or choose one of the list.` : `No item has the title or id “${search}”. Look for it under Items.`;
    showProblem(byId("problem"), wrong(what));
    return false;
  }
  state.typed.push(found);
  byId("title").value = "";
  showProblem(byId("problem"));
  showTyped();
  return true;
}

async function showHistory(fresh = false) {
  byId("past").hidden = !byUser();
  if (!byUser()) return showTyped();
  const id = byId("user").value.trim();
  if (!id) return show(byId("history"), make("p", {class: "empty"}, "Choose a user to see what they did."));
  const box = byId("history");
  try {
    const {events: past} = await get(path("users", id, "history"), {limit: SHOWN});
    const rows = past.reverse().map((event, at) => historyRow(event, fresh && at === 0));
    show(box, rows.length ? make("ol", {}, ...rows) : make("p", {class: "empty"}, "This user has done nothing yet: popular items answer."));
  } catch (error) {
    if (error.status !== 404) throw error;
    show(box, make("p", {class: "empty"}, "No user has this id: popular items answer."));
  }
}

function historyRow({item_id, title, type, value, time}, fresh) {
  const what = value === null ? type : `${type} ${value}`;
  return make("li", {class: fresh && "new"}, told(title || item_id), make("small", {}, told(what), make("br"), eventTime(time)));
}

function showTyped() {
  const rows = state.typed.map(({id, title}, at) => make("li", {}, told(title || id),
    make("button", {type: "button", class: "small", "aria-label": `Remove ${visible(title || id)}`, click: () => {
      state.typed.splice(at, 1);
      showTyped();
      byId("title").focus();
    }}, "Remove")));
  show(byId("typed"), rows.length ? make("ol", {}, ...rows) : make("p", {class: "empty"}, "Type a title or an id, then press Enter."));
}

// -- the answer ------------------------------------------------------------------------------------------------------

function request() {
  const body = {reasoning: chosen("reasoning"), k: Number(byId("k").value) || 10};
  if (byId("filter").value.trim()) body.filter = byId("filter").value.trim();
  return byUser() ? {...body, user_id: byId("user").value.trim()} : {...body, history: state.typed.map(({id}) => id)};
}

async function recommend() {
  showProblem(byId("problem"));
  if (byUser() && !byId("user").value.trim()) {
    showProblem(byId("problem"), wrong("Give the id of a user. Some are offered while you type."));
    return byId("user").focus();
  }
  if (!byUser() && byId("title").value.trim() && !(await addTyped())) return;
  state.running?.abort();
  const running = (state.running = new AbortController());
  const body = request(), quote = byId("reasoning");
  begin(quote);
  byId("why-heading").scrollIntoView({block: "nearest"});
  let text = "";
  try {
    for await (const [name, data] of events("/recommend", body, running.signal)) {
      if (name === "reasoning") quote.textContent = visible(text += data.delta);
      else if (name === "items") answered(data, body, text);
      else if (name === "usage") byId("facts").append(make("dt", {}, "Tokens of reasoning"), make("dd", {}, String(data.reasoning_tokens)));
      else if (name === "error") throw new Problem(data.status, data);
    }
  } catch (error) {
    if (running !== state.running) return; // asked again meanwhile
    if (!text) show(quote, make("span", {class: "empty"}, "Nothing was written."));
    if (error.name === "AbortError") byId("told").textContent = "Stopped. The service has ended the reasoning, too.";
    else showProblem(byId("problem"), error);
  } finally {
    if (running === state.running) end(quote);
  }
}

function begin(quote) {
  quote.setAttribute("aria-busy", "true");
  show(quote);
  show(byId("chain"));
  byId("told").textContent = "";
  byId("stop").hidden = false;
  byId("go").textContent = "Ask again";
  showHistory().catch(error => showProblem(byId("problem"), error));
}

function end(quote) {
  quote.setAttribute("aria-busy", "false");
  byId("stop").hidden = true;
  state.running = null;
}

function answered(answer, body, text) {
  const whom = body.user_id ?? "";
  const before = state.shown && state.shown.whom === whom ? state.shown.ids : null;
  if (!text) {
    const why = answer.reasoning?.text || (body.reasoning === "none" ? "None was asked for." : `None. Answered by the next step: ${SOURCES[answer.source] || answer.source}.`);
    show(byId("reasoning"), answer.reasoning?.text ? visible(why) : make("span", {class: "empty"}, why));
  }
  state.answer = answer;
  state.shown = {whom, ids: answer.items.map(({id}) => id)};
  showAnswer(answer, {before, acts: actsOf(answer, body), from: body.reasoning});
  byId("more").hidden = answer.items.length < body.k;
}

async function more() {
  const page = await send("POST", "/recommend", {recommendation_id: state.answer.recommendation_id, k: Number(byId("k").value) || 10});
  const begin = state.shown.ids.length;
  state.shown.ids.push(...page.items.map(({id}) => id));
  showMore(page, begin, actsOf(state.answer, {user_id: state.shown.whom || undefined}));
  byId("more").hidden = !page.items.length;
  byId("told").textContent = page.items.length ? "" : "There are no further items.";
}

// -- what one does with it -------------------------------------------------------------------------------------------

/** Names and actions of the buttons beside an item. */
function actsOf(answer, {user_id}) {
  if (user_id === undefined) return [["add", item => {
    state.typed.push(item);
    showTyped();
    byId("told").textContent = `“${visible(item.title)}” is in the history now. Ask again.`;
  }]];
  return Object.entries(state.types).map(([name, type]) => [name, item => act(answer, user_id, item, name, type)]);
}

async function act(answer, user_id, item, name, type) {
  showProblem(byId("problem"));
  try {
    await send("POST", "/events", {user_id, item_id: item.id, type, recommendation_id: answer.recommendation_id});
    byId("told").textContent = `Stored: ${visible(user_id)} ${name} “${visible(item.title)}”. Ask again, and the list takes it in.`;
    await showHistory(true);
  } catch (error) {
    showProblem(byId("problem"), error);
  }
}

// -- the page --------------------------------------------------------------------------------------------------------

const later = (work, wait = 150) => {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(() => work().catch(error => showProblem(byId("problem"), error)), wait);
  };
};
const now = work => event => {
  event?.preventDefault();
  Promise.resolve(work()).catch(error => showProblem(byId("problem"), error));
};

byId("ask").addEventListener("submit", now(recommend));
byId("stop").addEventListener("click", () => state.running?.abort());
byId("more").addEventListener("click", now(more));
byId("add").addEventListener("click", now(addTyped));
byId("user").addEventListener("input", later(offerUsers));
byId("user").addEventListener("change", now(showHistory.bind(null, false)));
byId("title").addEventListener("input", later(offerTitles));
byId("title").addEventListener("keydown", event => {
  if (event.key === "Enter" && byId("title").value.trim()) now(addTyped)(event); // an empty one sends the form
});
for (const input of document.querySelectorAll("input[name=whom]")) {
  input.addEventListener("change", now(() => {
    byId("by-user").hidden = !byUser();
    byId("by-title").hidden = byUser();
    return showHistory();
  }));
}

whenReady(now(async () => {
  const given = new URLSearchParams(location.search).get("user");
  if (given) byId("user").value = given;
  const [declared, page] = await Promise.all([get("/events/types"), get("/items", {limit: 100}), offerUsers()]);
  const one = (name, of) => (declared.types.includes(name) ? name : of.find(type => declared.history.includes(type)) || of[0]);
  for (const [name, type] of [["viewed", one("view", declared.clicks)], ["bought", one("purchase", declared.conversions)]]) {
    if (type) state.types[name] = type;
  }
  const columns = [...new Set(page.items.flatMap(({columns}) => Object.keys(columns)))].sort();
  byId("columns").textContent = columns.length
    ? `A condition on ${columns.slice(0, 8).map(visible).join(", ")}; for example title != "…" and ${visible(columns[0])} == "…"`
    : `A condition, for example title != "${visible(page.items[0]?.title || "…")}"`;
  if (!page.items.length) byId("none").textContent = "The catalog is empty. Add items first, under Items.";
  await showHistory();
}));
