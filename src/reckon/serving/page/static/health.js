// Health: what /health/ready, /models and /metrics say now, and the last minutes as lines.

import { chart } from "./chart.js";
import { byId, make, show, tableCard, told } from "./dom.js";
import { count, duration, number, share } from "./format.js";
import { by, histogram, quantile, samples, since, sum, value } from "./prometheus.js";
import { get, notReady, showProblem, text } from "./service.js";

const EVERY_MS = 3000;
const MINUTES = 5;
const WINDOW = 10; // moments over which rates and quantiles of the charts are taken: half a minute
const GAP_MS = 4 * EVERY_MS; // a longer pause breaks the lines
const KEPT = "reckon-health";
const UNAIDED = ["similar", "popular"]; // steps that answer without the model
const CHAIN = ["live", "cached", "direct", ...UNAIDED];
let moments = [];

// -- what is kept for the charts -------------------------------------------------------------------------------------

function momentOf(all) {
  const sources = by(all, "reckon_answers_total", "source");
  return {
    at: Date.now(),
    answers: sum([...sources.values()]),
    unaided: sum(UNAIDED.map(step => sources.get(step) || 0)),
    seconds: histogram(all, "reckon_answer_seconds"),
    queue: value(all, "reckon_queue"),
    growing: value(all, "reckon_growing"),
    streams: value(all, "reckon_open_streams"),
    waiting: value(all, "reckon_nearline_waiting"),
    tokens: value(all, "reckon_tokens_total"),
  };
}

function keep(moment) {
  if (moments.length && moment.answers < moments.at(-1).answers) moments = []; // the service began anew
  moments.push(moment);
  moments = moments.filter(({at}) => moment.at - at <= MINUTES * 60_000);
  sessionStorage.setItem(KEPT, JSON.stringify(moments, (_, one) => (one === Infinity ? "Infinity" : one)));
}

function kept() {
  try {
    const found = JSON.parse(sessionStorage.getItem(KEPT) || "[]", (_, one) => (one === "Infinity" ? Infinity : one ?? NaN));
    return found.filter(({at}) => Date.now() - at <= MINUTES * 60_000);
  } catch {
    return [];
  }
}

/** A line: `of(moment, the moment a window before)` over time. */
function line(name, of) {
  const last = moments.at(-1).at, points = [];
  moments.forEach((moment, at) => {
    const ago = (last - moment.at) / 1000;
    if (at && moment.at - moments[at - 1].at > GAP_MS) points.push([ago, NaN]);
    points.push([ago, of(moment, moments[Math.max(0, at - WINDOW)])]);
  });
  return {name, points};
}

function showCharts() {
  const rate = name => (now, old) => (now.at > old.at ? (1000 * (now[name] - old[name])) / (now.at - old.at) : NaN);
  const late = part => (now, old) => quantile(since(now.seconds, old.seconds), part);
  const draw = (title, lines, format, none) => chart(title, lines, {seconds: MINUTES * 60, format, none});
  show(byId("charts"),
    draw("Answers in a second", [line("answers", rate("answers"))], number, "no value yet"),
    draw("Time to the list, estimated", [line("p50", late(0.5)), line("p99", late(0.99))], duration, "no answer in these minutes"),
    draw("Answers without the model", [line("share", (now, old) => (now.unaided - old.unaided) / (now.answers - old.answers))], share, "no answer in these minutes"),
    draw("At work", [line("waiting", one => one.queue), line("being written", one => one.growing), line("streams", one => one.streams)], number, "no value yet"),
    draw("Tokens of reasoning in a second", [line("tokens", rate("tokens"))], number, "no value yet"),
    draw("Users that wait for reasoning", [line("users", one => one.waiting)], number, "no value yet"));
}

// -- what is so now --------------------------------------------------------------------------------------------------

const tile = (label, shown, note, kind = "") =>
  make("div", {class: `card tile ${kind}`}, make("div", {class: "label"}, label), make("div", {class: "value"}, shown), make("div", {class: "note"}, note));

function showTiles(reasons, all) {
  const ready = reasons.length
    ? tile("State", "Not ready", told(reasons.join("; ")), "bad")
    : tile("State", "Ready", "the model answers, the store can be read", "good");
  if (!all) return show(byId("tiles"), ready);
  const now = momentOf(all), none = now.answers ? "" : "no answer yet";
  show(byId("tiles"), ready,
    tile("Answers", number(now.answers, 6), none || "since the start"),
    tile("Half of them within", duration(quantile(now.seconds, 0.5)), none || `p50, estimated; p99 ${duration(quantile(now.seconds, 0.99))}`),
    tile("Without the model", share(now.unaided / now.answers), none || "similar and popular items", now.unaided > now.answers / 2 ? "warn" : ""),
    tile("Waiting", number(now.queue), `for the model; ${number(now.growing)} being written`),
    tile("Open streams", number(now.streams), `${number(now.tokens, 6)} tokens written`));
}

/** Count, mean and quantiles of a histogram, for a table. */
function latency(all, name, label, key) {
  const found = histogram(all, name, labels => labels[label] === key);
  return [number(found.count, 6), duration(found.sum / found.count), duration(quantile(found, 0.5)), duration(quantile(found, 0.99))];
}

function showTables(all, models) {
  const sources = by(all, "reckon_answers_total", "source"), total = sum([...sources.values()]);
  const steps = [...sources.keys()].sort((a, b) => CHAIN.indexOf(a) - CHAIN.indexOf(b));
  const quantiles = ["#Mean", "#p50, estimated", "#p99, estimated"];
  show(byId("sources"), tableCard("Answers by step", ["Step", "#Share", "#Answers", ...quantiles],
    steps.map(step => [step, share(sources.get(step) / total), ...latency(all, "reckon_answer_seconds", "source", step)]),
    "Nothing was asked for yet. Ask for a list under Recommend."));
  const passed = all.filter(one => one.name === "reckon_fallbacks_total").sort((a, b) => b.value - a.value);
  show(byId("passed"), tableCard("Steps that could not answer", ["Step", "Why", "#Times"],
    passed.map(one => [one.labels.step, told(one.labels.why), number(one.value, 6)]), "Every first step has answered so far."));
  show(byId("models"), tableCard("Models", ["Name", "Version", "Reasons", "#Items", "#Share of users"],
    models.map(one => [told(one.name), told(one.version), one.reasons ? "yes" : "no", number(one.items, 6), share(one.share)]), "No served run ranks items."));
  showGroups(all);
  const cache = by(all, "reckon_cached_reasoning_total", "result"), looked = sum([...cache.values()]);
  show(byId("nearline"), tableCard("Reasoning written in advance", ["Users that wait", "First has waited", "Look-ups", "Found", "Of those stale"], [[
    number(value(all, "reckon_nearline_waiting"), 6), duration(value(all, "reckon_nearline_age_seconds")), number(looked, 6),
    share(((cache.get("hit") || 0) + (cache.get("stale") || 0)) / looked), number(cache.get("stale") || 0, 6)]], ""));
  const routes = by(all, "reckon_request_seconds_count", "route");
  show(byId("routes"), tableCard("Requests by route", ["Route", "#Requests", ...quantiles],
    [...routes].sort(([, a], [, b]) => b - a).map(([route]) => [make("code", {}, route), ...latency(all, "reckon_request_seconds", "route", route)]), "No request yet."));
}

function showGroups(all) {
  const answers = by(all, "reckon_answers_total", "group");
  const of = (kind, group) => sum(all.filter(one => one.name === "reckon_feedback_total" && one.labels.kind === kind && one.labels.group === group).map(one => one.value));
  show(byId("groups"), tableCard("Clicks and conversions by group", ["Group", "#Answers", "#Clicks", "#per answer", "#Conversions", "#per answer"],
    [...answers].sort().map(([group, answered]) => {
      const clicks = of("click", group), bought = of("conversion", group);
      return [group ? told(group) : "all users", number(answered, 6), number(clicks, 6), number(clicks / answered), number(bought, 6), number(bought / answered)];
    }), "No answer yet. Events with a recommendation_id count here; two runs (reckon serve RUN --beside RUN) make groups."));
}

// -- the page --------------------------------------------------------------------------------------------------------

async function refresh() {
  const reasons = await notReady();
  if (reasons.length) return showTiles(reasons, null);
  const [written, models] = await Promise.all([text("/metrics"), get("/models")]);
  const all = samples(written);
  keep(momentOf(all));
  showTiles(reasons, all);
  showTables(all, models);
  showCharts();
  byId("when").textContent = `Numbers of the service since its start, at ${new Date().toLocaleTimeString("en-GB")}; ${count(models.length, "model", "models")}.`;
}

moments = kept();
for (;;) {
  if (document.visibilityState === "visible") {
    await refresh().then(() => showProblem(byId("problem")), error => showProblem(byId("problem"), error));
  }
  await new Promise(done => setTimeout(done, EVERY_MS));
}
