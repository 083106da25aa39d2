// Events: the latest ones while they come, and a form that sends one.

import { byId, make, offer, show, told, visible } from "./dom.js";
import { eventTime } from "./format.js";
import { get, send, showProblem, whenReady, wrong } from "./service.js";

const EVERY_MS = 2000;
const SHOWN = 200;
const HEADINGS = ["Time", "Type", "User", "Item", "Event id", "Answer"];
let last = null; // number of the latest event that is shown

// -- the list --------------------------------------------------------------------------------------------------------

async function refresh() {
  const {events} = await get("/events", {after: last, limit: last === null ? 50 : SHOWN});
  const first = last === null;
  if (events.length) last = events[0].number;
  if (!byId("list").tHead) {
    byId("list").append(make("thead", {}, make("tr", {}, ...HEADINGS.map(one => make("th", {scope: "col"}, one)))), make("tbody"));
  }
  const body = byId("list").tBodies[0];
  for (const row of body.rows) row.classList.remove("new");
  body.prepend(...events.map(event => rowOf(event, !first)));
  while (body.rows.length > SHOWN) body.rows[SHOWN].remove();
  byId("none").textContent = body.rows.length ? "" : "No event is stored yet. Send one with the form, or POST /events.";
  byId("list").hidden = !body.rows.length;
  showProblem(byId("list-problem"));
}

function rowOf(event, fresh) {
  const what = event.value === null ? event.type : `${event.type} ${event.value}`;
  const user = make("a", {href: `/?user=${encodeURIComponent(event.user_id)}`}, told(event.user_id));
  return make("tr", {class: fresh && "new"},
    make("td", {class: "nowrap"}, eventTime(event.time)), make("td", {class: "nowrap"}, told(what)), make("td", {class: kept(event.user_id)}, user), make("td", {class: kept(event.item_id)}, told(event.item_id)),
    make("td", {class: "nowrap"}, shortId(event.event_id)), make("td", {class: "nowrap"}, event.recommendation_id === null ? "" : shortId(event.recommendation_id)));
}

/** Short ids stay on one line. */
const kept = id => (id.length <= 24 ? "nowrap" : null);

/** A long id by its beginning; all of it when one points at it. */
const shortId = id => make("bdi", {title: visible(id)}, visible(id.length > 14 ? `${id.slice(0, 12)}…` : id));

async function follow() {
  for (;;) {
    if (byId("follow").checked && document.visibilityState === "visible") {
      await refresh().catch(error => showProblem(byId("list-problem"), error));
    }
    await new Promise(done => setTimeout(done, EVERY_MS));
  }
}

// -- the form --------------------------------------------------------------------------------------------------------

function typed() {
  const text = id => byId(id).value.trim();
  if (!text("user") || !text("item")) throw wrong("An event needs a user and an item.");
  const value = text("value").replace(",", ".");
  if (value && !Number.isFinite(Number(value))) throw wrong("The value is no number. Give one such as 4.5, or leave it empty.");
  const found = {user_id: text("user"), item_id: text("item"), type: byId("type").value};
  if (value) found.value = Number(value);
  if (text("time")) found.time = text("time");
  if (text("event-id")) found.event_id = text("event-id");
  if (text("recommendation-id")) found.recommendation_id = text("recommendation-id");
  return found;
}

async function sendOne() {
  showProblem(byId("problem"));
  byId("told").textContent = "";
  const check = byId("validate").checked;
  const reply = await send("POST", check ? "/events?validate_only=true" : "/events", typed());
  if (check) byId("told").textContent = "The event is valid. Nothing was written.";
  else if (reply.repeated) byId("told").textContent = "An event with this id is there already. Nothing was counted twice.";
  else byId("told").textContent = `Stored as ${visible(reply.event_ids[0])}.`;
  if (!check) await refresh();
}

const choices = (input, datalist, address, option) => {
  let timer;
  const ask = async () => {
    const prefix = byId(input).value.trim();
    const {items} = await get(address, {after: prefix, limit: 20});
    offer(byId(datalist), items.filter(({id}) => id.startsWith(prefix)).map(option));
  };
  byId(input).addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => ask().catch(error => showProblem(byId("problem"), error)), 150);
  });
  return ask();
};

// -- the page --------------------------------------------------------------------------------------------------------

byId("send").addEventListener("submit", event => {
  event.preventDefault();
  sendOne().catch(error => showProblem(byId("problem"), error));
});
whenReady(async () => {
  follow();
  try {
    const {types} = await get("/events/types");
    show(byId("type"), ...types.map(type => make("option", {value: type}, visible(type))));
    byId("go").disabled = false;
    await Promise.all([
      choices("user", "users", "/users", ({id}) => [id, ""]),
      choices("item", "items", "/items", ({id, title}) => [id, title]),
    ]);
  } catch (error) {
    showProblem(byId("problem"), error);
  }
});
