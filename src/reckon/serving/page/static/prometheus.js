// The text of /metrics, read: numbers by name and labels, histograms, quantiles.

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;
const ESCAPED = {n: "\n", '"': '"', "\\": "\\"};

/** [{name, labels, value}] of every line that holds a number. */
export function samples(text) {
  const found = [];
  for (const line of text.split("\n")) {
    const match = line.startsWith("#") ? null : LINE.exec(line);
    if (!match) continue;
    const labels = {};
    for (const [, name, value] of (match[2] || "").matchAll(LABEL)) labels[name] = value.replace(/\\(.)/g, (_, char) => ESCAPED[char] ?? char);
    found.push({name: match[1], labels, value: numberOf(match[3])});
  }
  return found;
}

const numberOf = text => ({"+Inf": Infinity, "-Inf": -Infinity}[text] ?? Number(text));

export const sum = values => values.reduce((total, value) => total + value, 0);

/** The values of a name, added up by one label. */
export function by(all, name, label) {
  const totals = new Map();
  for (const one of all) if (one.name === name) totals.set(one.labels[label], (totals.get(one.labels[label]) || 0) + one.value);
  return totals;
}

/** One number without labels; NaN where it is missing. */
export const value = (all, name) => all.find(one => one.name === name)?.value ?? NaN;

/** A histogram: {count, sum, buckets: [[upper bound, number up to it]]}, of the lines that `fits` accepts, together. */
export function histogram(all, name, fits = () => true) {
  const of = suffix => all.filter(one => one.name === name + suffix && fits(one.labels));
  const bounds = new Map();
  for (const one of of("_bucket")) {
    const bound = numberOf(one.labels.le);
    bounds.set(bound, (bounds.get(bound) || 0) + one.value);
  }
  const buckets = [...bounds].sort(([a], [b]) => a - b);
  return {count: sum(of("_count").map(one => one.value)), sum: sum(of("_sum").map(one => one.value)), buckets};
}

/** The values that came between two moments of the same histogram. */
export function since(now, before) {
  const old = new Map(before.buckets);
  return {count: now.count - before.count, sum: now.sum - before.sum, buckets: now.buckets.map(([bound, number]) => [bound, number - (old.get(bound) || 0)])};
}

/**
 * The value below which a share of all values lies, estimated: values are taken to be spread evenly within a bucket.
 * Beyond the last bound nothing is known, and the last bound is given.
 */
export function quantile({count, buckets}, share) {
  if (!count) return NaN;
  const wanted = share * count;
  let low = 0, below = 0;
  for (const [bound, number] of buckets) {
    if (number >= wanted) {
      if (!Number.isFinite(bound)) return low;
      return number === below ? bound : low + ((bound - low) * (wanted - below)) / (number - below);
    }
    [low, below] = [bound, number];
  }
  return low;
}
