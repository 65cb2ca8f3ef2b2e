/** Rates over percent done: several runs on one axis, whatever their clocks said. */
import uPlot from "../vendor/uplot.js";
import { html, useEffect, useRef, useState } from "./lib.js";
import { percent, rate } from "./format.js";

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const BINARY = Array.from({ length: 60 }, (_, i) => 2 ** i);
const DASHES = [[], [6, 4], [2, 3], [10, 3, 2, 3], [1, 5]];

/** curves: [{name, points: [{percent, bytes_per_s}]}] */
export default function Course({ curves, height = 240 }) {
  const box = useRef(null), [table, setTable] = useState(false);
  const xs = [...new Set(curves.flatMap((c) => c.points.map((p) => p.percent)))].sort((a, b) => a - b);
  const columns = curves.map((c) => { const at = new Map(c.points.map((p) => [p.percent, p.bytes_per_s])); return xs.map((x) => at.get(x) ?? null); });
  useEffect(() => {
    if (table || !box.current || !xs.length) return undefined;
    const axis = { stroke: css("--dim"), grid: { stroke: css("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
    const plot = new uPlot({
      width: box.current.clientWidth, height, legend: { show: false }, scales: { x: { time: false, range: [0, 100] }, y: { range: (_, __, high) => [0, (high || 1) * 1.08] } },
      axes: [{ ...axis, values: (_, t) => t.map((v) => `${v} %`) }, { ...axis, size: 82, incrs: BINARY, values: (_, t) => t.map(rate) }],
      series: [{}, ...curves.map((c, i) => ({ label: c.name, stroke: css(`--series-${(i % 4) + 1}`), width: 1, dash: DASHES[i % 5], points: { show: false }, spanGaps: true }))],
    }, [xs, ...columns], box.current);
    const sized = new ResizeObserver(() => box.current && plot.setSize({ width: box.current.clientWidth, height }));
    sized.observe(box.current);
    return () => { sized.disconnect(); plot.destroy(); };
  }, [table, JSON.stringify(curves)]);
  if (!xs.length) return html`<p class="empty">Nothing was measured of them.</p>`;
  return html`<figure class="in" aria-label="Rate by percent done"><figcaption class="row"><ul class="legend">${curves.map((c, i) => html`<li><i class="s${(i % 4) + 1}"></i>${c.name}</li>`)}</ul><span class="end"><button class="plain" aria-pressed=${table} onClick=${() => setTable(!table)}>${table ? "Chart" : "Table"}</button></span></figcaption>
    ${table ? html`<div class="scroll tall" tabindex="0" role="region" aria-label="All values of the rate by percent done"><table aria-label="Rate by percent done"><thead><tr><th scope="col">Done</th>${curves.map((c) => html`<th scope="col" class="num">${c.name}</th>`)}</tr></thead><tbody>${xs.map((x, i) => html`<tr key=${x}><td>${percent(x, 0)}</td>${columns.map((c) => html`<td class="num">${rate(c[i])}</td>`)}</tr>`)}</tbody></table></div>` : html`<div class="chart" ref=${box} role="img" aria-label="Rate by percent done. The button Table shows all values."></div>`}</figure>`;
}
