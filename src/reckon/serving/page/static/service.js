// Requests to the service that gave the page, and errors in words.

import { make, show, visible } from "./dom.js";

/** A request that failed: what is wrong, which ids and fields. */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || `The service answered ${status}.`);
    this.status = status;
    this.missing = body.missing_ids || [];
    this.fields = body.errors || [];
  }
}

/** A problem that the page finds by itself. */
export const wrong = message => new Problem(0, {detail: message});

/** Parts of an address, escaped. */
export const path = (...parts) => parts.map(part => `/${encodeURIComponent(part)}`).join("");

export async function get(address, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const text = new URLSearchParams(given).toString();
  return (await ask(text ? `${address}?${text}` : address, {})).json();
}

export async function send(method, address, body) {
  return (await ask(address, {method, body: JSON.stringify(body), headers: {"Content-Type": "application/json"}})).json();
}

export async function text(address) {
  return (await ask(address, {})).text();
}

async function ask(address, options) {
  let reply;
  try {
    reply = await fetch(address, {cache: "no-store", ...options});
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, {detail: "The service does not answer. Is it still running? Start it with reckon serve, then try again."});
  }
  if (!reply.ok) throw new Problem(reply.status, await reply.json().catch(() => ({})));
  return reply;
}

/** The server-sent events of a reply to a POST: [name, data] each. `signal` ends them, and the work behind them. */
export async function* events(address, body, signal) {
  const headers = {"Content-Type": "application/json", Accept: "text/event-stream"};
  const reply = await ask(address, {method: "POST", body: JSON.stringify(body), headers, signal});
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const {done, value} = await reader.read();
    if (done) return;
    const blocks = (rest + value).split(/\r?\n\r?\n/);
    rest = blocks.pop();
    for (const block of blocks) {
      const event = parsed(block);
      if (event) yield event;
    }
  }
}

/** One block of an event stream; null for a comment. */
export function parsed(block) {
  let name = "message";
  const data = [];
  for (const line of block.split(/\r?\n/)) {
    const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line);
    if (field === "event") name = value;
    else if (field === "data") data.push(value);
  }
  return data.length ? [name, JSON.parse(data.join("\n"))] : null;
}

/** Show what went wrong, or nothing. */
export function showProblem(box, error = null) {
  if (error === null) return show(box);
  const list = [
    ...(error.missing || []).map(id => `unknown id: ${visible(id)}`),
    ...(error.fields || []).map(({field, problem}) => `${visible(field)}: ${visible(problem)}`),
  ].slice(0, 20);
  const advice = {403: " This page was opened with a key that may not do this; open it with one of a wider scope."}[error.status] || "";
  show(box, make("div", {class: "problem"}, visible(error.message) + advice,
    list.length ? make("ul", {}, ...list.map(one => make("li", {}, one))) : null));
  if (!(error instanceof Problem)) console.error(error);
}

/** Call `begin` once the service is ready; until then say why it is not. */
export async function whenReady(begin) {
  const box = document.getElementById("state");
  for (;;) {
    const reasons = await notReady();
    box.hidden = !reasons.length;
    show(box, reasons.length ? `Not ready: ${visible(reasons.join("; "))}. The page goes on by itself.` : "");
    if (!reasons.length) return begin();
    await new Promise(done => setTimeout(done, 1000));
  }
}

/** Why the service cannot answer; empty where it can. */
export async function notReady() {
  try {
    const reply = await fetch("/health/ready", {cache: "no-store"});
    const {reasons, detail} = await reply.json();
    return reply.ok ? [] : reasons || [detail];
  } catch {
    return ["the service does not answer"];
  }
}
