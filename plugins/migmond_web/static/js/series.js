/** What charts draw, made of what the history answers. Pure: nothing here knows of a page. */

/** The lists of a series, each as `of` makes it. Of what is no more than one sample a point there is no band: mean, low and high are the same list, and are made once. */
export function listsOf({ mean, low, high }, of) {
  const made = of(mean);
  return { mean: made, low: low === mean ? made : of(low), high: high === mean ? made : of(high) };
}
export const flat = (s) => s.low === s.mean && s.high === s.mean;

/** The answer of history.query as xs and series; `pick(curve)` returns a name, or null to leave it out. */
export function curves(view, pick) {
  if (!view) return { xs: [], series: [] };
  const n = view.series.length ? view.series[0].mean.length : 0;
  const xs = Array.from({ length: n }, (_, i) => view.first_s + i * view.step_s);
  const series = view.series.map((c) => ({ name: pick(c), ...told(c), unit: c.unit, perSecond: c.kind === "counter" })).filter((s) => s.name !== null);
  return { xs, series };
}
const told = ({ mean, low, high }) => (mean.every((v, i) => low[i] === v && high[i] === v) ? { mean, low: mean, high: mean } : { mean, low, high });

/** A series in another measure: `factor` times what it was; `as`: its unit, and whether that is per second. */
export const scaled = (s, factor, as) => ({ ...s, ...(factor === 1 ? {} : listsOf(s, (values) => values.map((v) => (v === null ? null : v * factor)))), ...as });

/** Several series added up into one, e.g. the disks of a machine. */
export function sum(name, parts) {
  if (parts.length < 2) return parts.length ? { ...parts[0], name } : null;
  const add = (field) => {
    const total = parts[0][field].slice();
    for (const p of parts.slice(1)) p[field].forEach((v, i) => { if (v !== null) total[i] = (total[i] ?? 0) + v; });
    return total;
  };
  const mean = add("mean");
  return { ...parts[0], name, mean, ...(parts.every(flat) ? { low: mean, high: mean } : { low: add("low"), high: add("high") }) };
}
export function mean(name, parts) {
  const total = sum(name, parts);
  return total && scaled(total, 1 / parts.length, {});
}

/** Marks on a time axis, those that would hide one another as one. `x(at)`: where on the axis, in the measure of `least`. */
export function apart(marks, x, least) {
  const found = [], newest = new Map();
  for (const m of [...marks].sort((a, b) => a.at - b.at)) {
    const last = newest.get(m.kind);
    if (last && x(m.at) - x(last.at) < least) { last.more.push(m); continue; }
    const one = { ...m, more: [] };
    newest.set(m.kind, one);
    found.push(one);
  }
  return found;
}
