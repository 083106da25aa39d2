// Small line charts as SVG, drawn here: a line for each series over the last minutes.

import { make, shape } from "./dom.js";

const WIDTH = 380, HEIGHT = 150, LEFT = 46, RIGHT = 6, TOP = 8, BOTTOM = 22;
const STEPS = [1, 2, 2.5, 5, 10];

/**
 * A figure with its title, what each line is now, and the lines.
 *
 * series: [{name, points: [[seconds before now, value or NaN]]}], oldest first; a NaN leaves a gap.
 * seconds: width of the time axis. format: a value as text. none: what to say where there is no value yet.
 */
export function chart(title, series, {seconds, format, none}) {
  const known = series.flatMap(({points}) => points.map(([, value]) => value)).filter(Number.isFinite);
  const top = ceiling(Math.max(0, ...known));
  const x = ago => LEFT + (WIDTH - LEFT - RIGHT) * (1 - ago / seconds);
  const y = value => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top);
  const latest = series.map(({name, points}) => `${name} ${format(points.at(-1)?.[1] ?? NaN)}`);
  const grid = [0, 0.5, 1].flatMap(part => [
    shape("line", {class: "gridline", x1: LEFT, x2: WIDTH - RIGHT, y1: y(part * top), y2: y(part * top)}),
    shape("text", {x: LEFT - 6, y: y(part * top) + 4, "text-anchor": "end"}, known.length ? format(part * top) : ""),
  ]);
  const axis = [[seconds, `${Math.round(seconds / 60)} min ago`, "start"], [0, "now", "end"]].map(([ago, text, anchor]) =>
    shape("text", {x: x(ago), y: HEIGHT - 4, "text-anchor": anchor}, text));
  const empty = known.length ? [] : [shape("text", {x: (LEFT + WIDTH) / 2, y: HEIGHT / 2 - 14, "text-anchor": "middle"}, none)];
  const lines = series.flatMap(({points}, at) => drawn(points, x, y, at));
  return make("figure", {class: "card"}, make("h3", {}, title),
    make("p", {class: "legend"}, ...series.map((_, at) => make("span", {}, key(at), latest[at]))),
    shape("svg", {viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${title}: ${known.length ? latest.join(", ") : none}`}, ...grid, ...axis, ...empty, ...lines));
}

const key = at => shape("svg", {viewBox: "0 0 12 8", "aria-hidden": "true"}, shape("line", {class: `line line-${at}`, x1: 1, x2: 11, y1: 4, y2: 4}));

/** A path for each stretch without gaps; a lonely point is a dot. */
function drawn(points, x, y, at) {
  const stretches = [[]];
  for (const [ago, value] of points) {
    if (Number.isFinite(value)) stretches.at(-1).push([x(ago).toFixed(1), y(value).toFixed(1)]);
    else if (stretches.at(-1).length) stretches.push([]);
  }
  return stretches.filter(one => one.length).map(one => one.length === 1
    ? shape("circle", {class: `line-${at}`, cx: one[0][0], cy: one[0][1], r: 2})
    : shape("path", {class: `line line-${at}`, d: `M${one.map(point => point.join(" ")).join("L")}`}));
}

/** The next round number from a value on. */
export function ceiling(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return power * STEPS.find(step => step * power >= value * 0.9999);
}
