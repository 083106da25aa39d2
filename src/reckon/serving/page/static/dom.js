// Elements made in code. Texts become text nodes, so nothing of the data can become markup.

const SVG = "http://www.w3.org/2000/svg";

export const byId = id => document.getElementById(id);

/** An element; attributes that are functions listen, children are elements or texts. */
export function make(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function shape(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter(child => child !== null && child !== undefined));
  return element;
}

/** Text of the data. Control characters are shown as signs, and its direction does not leave it. */
export function told(text) {
  return make("bdi", {}, visible(text));
}

export function visible(text) {
  return String(text).replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, char =>
    char === "\u007f" ? "\u2421" : String.fromCharCode(0x2400 + char.charCodeAt(0)));
}

export function show(element, ...children) {
  element.replaceChildren(...children);
}

/** A table; a heading that begins with "#" is of a column of numbers. */
export function table(headings, rows) {
  const number = headings.map(one => one.startsWith("#"));
  const head = headings.map((one, at) => make("th", {scope: "col", class: number[at] && "num"}, one.replace(/^#/, "")));
  const body = rows.map(cells => make("tr", {}, ...cells.map((cell, at) => make("td", {class: number[at] && "num"}, cell))));
  return make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body));
}

/** A table in a card of its own, or what to say where there are no rows. */
export function tableCard(label, headings, rows, empty) {
  if (!rows.length) return make("p", {class: "empty"}, empty);
  return make("div", {class: "card scroll", tabindex: 0, role: "region", "aria-label": label}, table(headings, rows));
}

/** Choices of an input. */
export function offer(datalist, options) {
  show(datalist, ...options.map(([value, label]) => make("option", {value, label})));
}
