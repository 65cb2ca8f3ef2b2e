/** Charts over time: synced cursors, drag to zoom, and the same as a table, as CSV and as a picture. */
import uPlot from "../vendor/uplot.js";
import { html, useEffect, useMemo, useRef, useState } from "./lib.js";
import { DASH, measure, time } from "./format.js";
import { save } from "./parts.js";
import { apart, flat as bandless } from "./series.js";

const sync = uPlot.sync("migmond");
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const DASHES = [[], [6, 4], [2, 3], [10, 3, 2, 3]];
const KEPT = 2000;
/** Of marks of one kind, px: closer, they are a wall before the lines. */
const APART = 9;
/** Of a band. */
const EDGE = { show: true, stroke: "transparent", width: 0, points: { show: false } };
/** Left and right of the time axis, px: what stands above a chart can keep to the same axis. */
export const GUTTER = { left: 82, right: 32 };
/** Steps of an axis that are round for people: bytes in binary units, durations in those of clocks. */
const STEPS = {
  bytes: Array.from({ length: 60 }, (_, i) => 2 ** i),
  seconds: [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, ...[1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 43200], ...Array.from({ length: 20 }, (_, i) => 86400 * 2 ** i)],
};
/** Of what there is no half of. */
const WHOLE = [1, 2, 5].flatMap((n) => Array.from({ length: 12 }, (_, i) => n * 10 ** i)).sort((a, b) => a - b);
const TIMES = [
  [86400, "{D} {MMM}", null, null, null, null, null, null, 1],
  [3600, "{HH}:{mm}", "\n{D} {MMM}", null, "\n{D} {MMM}", null, null, null, 1],
  [60, "{HH}:{mm}", "\n{D} {MMM}", null, "\n{D} {MMM}", null, null, null, 1],
  [1, "{HH}:{mm}:{ss}", null, null, null, null, null, null, 1],
];

/**
 * series: [{name, mean, low, high, unit, perSecond, band}] over `xs` (seconds since the epoch), null where nothing is known;
 * of what `counts` there are no halves; what has a `band` is told with it in words as well. A new list of them is drawn: the same one is passed while nothing is new.
 * `titled` false: what is around it says its title already. marks: [{at, text, kind}]. range: [from, to] or null; onRange is called with one, or null to go back to live.
 */
export function Chart({ title, titled = true, xs, series, marks = [], range = null, onRange, height = 210 }) {
  const box = useRef(null), plot = useRef(null), told = useRef(marks);
  told.current = marks;
  const [table, setTable] = useState(false), [dark, setDark] = useState(0);
  const unit = series.length ? series[0].unit : "", per = series.length ? series[0].perSecond : false, counts = series[0]?.counts;
  const nothing = useMemo(() => series.every((s) => s.mean.every((v) => v === null)), [series]);
  const flat = series.every((s) => !s.band && bandless(s));
  const data = useMemo(() => [xs, ...series.flatMap((s) => (flat ? [s.mean] : [s.mean, s.low, s.high]))], [xs, series]);
  useEffect(() => {
    const redraw = () => setDark((n) => n + 1), media = matchMedia("(prefers-color-scheme: dark)");
    const seen = new MutationObserver(redraw);
    seen.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    media.addEventListener("change", redraw);
    return () => { seen.disconnect(); media.removeEventListener("change", redraw); };
  }, []);
  const names = series.map((s) => `${s.name} ${s.unit}`).join("|");
  useEffect(() => {
    if (table || !box.current || nothing) return undefined;
    const text = css("--dim"), line = css("--line"), colours = { alert: css("--bad"), intervention: css("--series-4"), other: text }; // once: a look at a style in the midst of drawing has all of them worked out anew
    const axis = { stroke: text, grid: { stroke: line, width: 1 }, ticks: { show: false }, font: "12px system-ui" };
    const options = {
      width: box.current.clientWidth || 600, height, legend: { show: false }, cursor: { sync: { key: sync.key }, drag: { x: true, y: false }, points: { size: 6 } },
      padding: [10, GUTTER.right, 0, 0],
      scales: { x: { time: true }, y: { range: (_, low, high) => [Math.min(0, low ?? 0), unit === "ratio" ? Math.max(1, high ?? 0) : (high ?? 0) <= 0 ? 1 : high * 1.08] } },
      axes: [{ ...axis, space: 72, values: TIMES }, { ...axis, size: GUTTER.left, ...(STEPS[unit] && !(per && unit === "seconds") ? { incrs: STEPS[unit] } : {}), ...(counts ? { incrs: WHOLE } : {}), values: (_, ticks) => ticks.map((v) => (v === 0 && unit === "seconds" ? "0" : measure(v, unit, per))) }],
      series: [{}, ...series.flatMap((s, i) => {
        const stroke = css(`--series-${(i % 4) + 1}`);
        return [{ label: s.name, stroke, width: 1, dash: DASHES[i % 4], points: { show: false, size: 4, fill: stroke, filter: alone }, spanGaps: false }, ...(flat ? [] : [{ ...EDGE }, { ...EDGE }])];
      })],
      bands: flat ? [] : series.map((_, i) => ({ series: [3 * i + 3, 3 * i + 2], fill: css(`--series-${(i % 4) + 1}`) + "30" })),
      hooks: {
        setSelect: [(u) => { if (u.select.width > 4 && onRange) onRange([u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x")]); }],
        draw: [(u) => drawMarks(u, told.current, colours)],
      },
    };
    plot.current = new uPlot(options, data, box.current);
    const sized = new ResizeObserver(() => { if (box.current && plot.current) plot.current.setSize({ width: box.current.clientWidth, height }); });
    sized.observe(box.current);
    return () => { sized.disconnect(); plot.current.destroy(); plot.current = null; };
  }, [table, names, nothing, flat, dark, height]);
  useEffect(() => { if (plot.current) plot.current.setData(data); }, [data, marks]);
  const lastAt = (s) => s.mean.findLastIndex((v) => v !== null), lastOf = (s) => s.mean[lastAt(s)] ?? null;
  const bandOf = (s, i) => (s.low[i] === null || s.high[i] === null ? DASH : `${measure(s.low[i], s.unit)} ${DASH} ${measure(s.high[i], s.unit)}`);
  const csv = () => {
    const rows = [["time", ...series.flatMap((s) => [s.name, `${s.name} low`, `${s.name} high`])], ...xs.map((x, i) => [new Date(x * 1000).toISOString(), ...series.flatMap((s) => [s.mean[i], s.low[i], s.high[i]])])];
    save(new Blob([rows.map((r) => r.map((c) => (c === null || c === undefined ? "" : /[",\n]/.test(c) ? `"${String(c).replaceAll('"', '""')}"` : c)).join(",")).join("\n") + "\n"], { type: "text/csv" }), `${title}.csv`);
  };
  const keys = (e) => {
    const by = KEYS[e.key], at = range || [xs[0], xs.at(-1)];
    if (!by || !onRange || e.ctrlKey || e.metaKey || e.altKey || !(at[1] > at[0])) return;
    e.preventDefault();
    onRange(shifted(at, by, Date.now() / 1000));
  };
  const png = () => plot.current && plot.current.ctx.canvas.toBlob((blob) => save(blob, `${title}.png`));
  return html`<figure class="in" aria-label=${title}>
    <figcaption class="row">${titled && html`<strong>${title}</strong>`}<ul class="legend">${series.map((s, i) => html`<li><i class="s${(i % 4) + 1}"></i>${s.name} <b>${measure(lastOf(s), s.unit, s.perSecond)}</b>${s.band && lastOf(s) !== null && html` (${bandOf(s, lastAt(s))})`}</li>`)}</ul>
      <span class="row end">${range && html`<button class="plain" onClick=${() => onRange(null)}>Back to live</button>`}${!nothing && html`<button class="plain" aria-pressed=${table} onClick=${() => setTable(!table)}>${table ? "Chart" : "Table"}</button><button class="plain" onClick=${csv}>CSV</button>${!table && html`<button class="plain" onClick=${png}>PNG</button>`}`}</span></figcaption>
    ${table && !nothing ? html`<div class="scroll tall" tabindex="0" role="region" aria-label=${`All values of ${title}`}><table aria-label=${title}><thead><tr><th scope="col">Time</th>${series.map((s) => html`<th scope="col" class="num">${s.name}</th>${s.band && html`<th scope="col" class="num">80 %</th>`}`)}</tr></thead><tbody>${rowsOf(xs, series).map(([x, i]) => html`<tr key=${x}><td>${time(x)}</td>${series.map((s) => html`<td class="num">${measure(s.mean[i], s.unit, s.perSecond)}</td>${s.band && html`<td class="num">${bandOf(s, i)}</td>`}`)}</tr>`)}</tbody></table></div>` : html`<div class="chart" ref=${box} role="img" tabindex=${onRange ? "0" : undefined} onKeyDown=${keys} aria-label=${nothing ? `${title}: nothing was recorded in this time.` : `${title}: ${series.map((s) => `${s.name} ${measure(lastOf(s), s.unit, s.perSecond)}`).join(", ")}. The button Table shows all values.`}>${nothing && html`<p class="empty">Nothing was recorded in this time.</p>`}</div>`}
  </figure>`;
}
/** What keys do to a range: how far its ends go, in parts of it. The newest is what people look at. */
const KEYS = { "+": [0.5, 0], "-": [-1, 0], ArrowLeft: [-0.25, -0.25], ArrowRight: [0.25, 0.25] };
const LEAST_S = 10;
/** The range with its ends moved: not beyond `now`, and no narrower than what there are samples for. */
export function shifted([from, to], [begin, end], now) {
  const wide = Math.max(LEAST_S, (to - from) * (1 + end - begin)), middle = (from + to) / 2 + ((begin + end) / 2) * (to - from);
  const last = Math.min(now, middle + wide / 2);
  return [last - wide, last];
}
/** Points that have none beside them: no line shows them. */
function alone(u, at) {
  const y = u.data[at], [from, to] = u.series[at].idxs, found = [];
  for (let i = from; i <= to; i++) if (y[i] != null && y[i - 1] == null && y[i + 1] == null) found.push(i);
  return found;
}
/** The newest first, those that nothing is known of left out, no more than a page can bear. */
const rowsOf = (xs, series) => xs.map((x, i) => [x, i]).filter(([, i]) => series.some((s) => s.mean[i] !== null)).reverse().slice(0, KEPT);

function drawMarks(u, marks, colours) {
  const { ctx, bbox } = u;
  ctx.save();
  const at = (seconds) => Math.round(u.valToPos(seconds, "x", true)), { min, max } = u.scales.x;
  for (const mark of apart(marks.filter((m) => m.at >= min && m.at <= max), at, APART * devicePixelRatio)) {
    const x = at(mark.at);
    ctx.strokeStyle = colours[mark.kind] || colours.other;
    ctx.setLineDash([3, 3]);
    ctx.beginPath(); ctx.moveTo(x, bbox.top); ctx.lineTo(x, bbox.top + bbox.height); ctx.stroke();
    if (mark.kind === "phase") continue;
    const size = 5 * devicePixelRatio, foot = bbox.top + bbox.height;
    ctx.fillStyle = ctx.strokeStyle;
    ctx.beginPath(); ctx.moveTo(x - size, foot); ctx.lineTo(x + size, foot); ctx.lineTo(x, foot - 1.6 * size); ctx.fill();
  }
  ctx.restore();
}
