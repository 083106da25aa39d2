// Numbers and times for people.

export function number(value, digits = 3) {
  if (!Number.isFinite(value)) return "–";
  const text = Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(digits)));
  return text.replace("-", "−");
}

export const fixed = value => (Number.isFinite(value) ? value.toFixed(2).replace("-", "−") : "–");

export const share = value => (Number.isFinite(value) ? `${number(100 * value)} %` : "–");

/** Seconds as a duration. */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 1) return `${number(1000 * seconds)} ms`;
  if (seconds < 120) return `${number(seconds)} s`;
  return seconds < 7200 ? `${number(seconds / 60)} min` : `${number(seconds / 3600)} h`;
}

/** A moment, in the time of this machine. */
export function moment(text) {
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) return String(text);
  const two = value => String(value).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** The moment of an event; a data set that knows the order alone numbers its events from the year 2000 on. */
export const eventTime = text => (Date.parse(text) < Date.UTC(2000, 0, 2) && Date.parse(text) >= Date.UTC(2000, 0, 1) ? "order only" : moment(text));

export const count = (value, one, many) => `${value.toLocaleString("en")} ${value === 1 ? one : many}`;
