// An answer on the page: ranked items, what each part added to each score, the steps of the chain, facts.

import { byId, make, shape, show, told, visible } from "./dom.js";
import { count, duration, fixed, moment } from "./format.js";

export const SOURCES = {
  live: "live reasoning",
  cached: "cached reasoning",
  direct: "the model without reasoning",
  similar: "items similar to the last ones",
  popular: "popular items",
};
const CHAIN = Object.keys(SOURCES);
const FIRST = {live: 0, cached: 1, none: 2}; // step at which each setting of reasoning begins

/** Show an answer. `before`: ids of the list that it takes the place of, or null; `acts`: buttons beside each item. */
export function showAnswer(answer, {before, acts, from}) {
  show(byId("ranked"), ...rowsOf(answer.items, 0, acts, before));
  byId("none").hidden = answer.items.length > 0;
  byId("none").textContent = "No item is left. A wider filter, or none, gives more.";
  showChain(answer, from);
  showFacts(answer);
  if (before) {
    const moved = answer.items.filter(({id}, at) => before[at] !== id).length;
    byId("told").textContent = moved ? `${count(moved, "place", "places")} of ${answer.items.length} changed since the last list.` : "The list is the same as the last one.";
  }
}

/** Add the items of a further page. */
export function showMore(page, begin, acts) {
  byId("ranked").append(...rowsOf(page.items, begin, acts, null));
}

function rowsOf(items, begin, acts, before) {
  const values = items.flatMap(({parts}) => Object.values(parts));
  const low = Math.min(0, ...values), high = Math.max(0, ...values);
  return items.map((item, at) => make("li", {"data-id": item.id},
    make("span", {class: "rank"}, String(begin + at + 1)),
    make("span", {class: "name"}, told(item.title || item.id), " ", before && moveOf(before.indexOf(item.id), at), make("small", {}, told(item.id))),
    partsOf(item, low, high),
    make("span", {class: "acts"}, ...acts.map(([name, act]) =>
      make("button", {type: "button", class: "small", "aria-label": `${name}: ${visible(item.title || item.id)}`, click: () => act(item)}, name)))));
}

/** Where an item was in the list before. */
function moveOf(was, is) {
  if (was < 0) return make("span", {class: "badge good"}, "new");
  if (was === is) return null;
  return make("span", {class: "badge", "aria-label": `was at ${was + 1}`}, `${was > is ? "↑" : "↓"} ${Math.abs(was - is)}`);
}

/** A bar for each part of a score; all bars of a list have one scale. */
function partsOf(item, low, high) {
  const parts = Object.entries(item.parts), box = make("span", {class: "parts"});
  parts.forEach(([name, value], at) => box.append(make("span", {}, told(name)), barOf(value, low, high, at), make("b", {}, fixed(value))));
  if (parts.length !== 1) box.append(make("span", {}, "score"), make("span"), make("b", {class: "sum"}, fixed(item.score)));
  return box;
}

function barOf(value, low, high, at) {
  const x = number => (high > low ? (100 * (number - low)) / (high - low) : 0);
  const from = Math.min(x(0), x(value)), width = Math.max(Math.abs(x(value) - x(0)), 0.5);
  return shape("svg", {viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true"},
    shape("rect", {x: from, y: 1, width, height: 6, class: `bar-${at % 4}`}),
    shape("line", {x1: x(0), x2: x(0), y1: 0, y2: 8, class: "axis", "vector-effect": "non-scaling-stroke"}));
}

function showChain({source, passed}, from) {
  const why = Object.fromEntries(passed.map(one => [one.step, one.why]));
  show(byId("chain"), ...CHAIN.slice(FIRST[from] ?? 0).map(step => {
    if (step === source) return make("li", {class: "answered"}, `✓ ${SOURCES[step].startsWith(step) ? "" : `${step}: `}${SOURCES[step]}`);
    if (step in why) return make("li", {class: "passed"}, `${step}: ${visible(why[step])}`);
    return make("li", {}, step);
  }));
}

function showFacts(answer) {
  const times = answer.timings_ms, parts = Object.entries(times).filter(([name]) => name !== "total");
  const facts = [
    ["Answered by", SOURCES[answer.source] || answer.source],
    ["Time", duration(times.total / 1000) + (parts.length ? ` (${parts.map(([name, ms]) => `${name} ${duration(ms / 1000)}`).join(", ")})` : "")],
    ["Model", `${answer.model}, version ${answer.version}${answer.group ? `, group ${answer.group}` : ""}`],
    ["Recommendation", answer.recommendation_id],
  ];
  const {reasoning} = answer;
  if (reasoning?.written) facts.push(["Reasoning written", moment(reasoning.written) + (reasoning.stale ? "; the user has had events since" : "")]);
  if (reasoning?.truncated) facts.push(["Reasoning", "cut off at its token budget"]);
  byId("facts").hidden = false;
  show(byId("facts"), ...facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, told(value))]));
}
