/** How the machine was: four charts, and one of its disks' temperatures where any disk tells. */
import { html, useMemo, useRef } from "./lib.js";
import { Loading, useSeen } from "./parts.js";
import { Chart } from "./chart.js";
import { curves, listsOf, mean, scaled, sum } from "./series.js";
import { Spans, useHistory, ZoomHint } from "./over.js";

const HEAT = "migmond_disk_temperature_celsius", MOST_DISKS = 8;
const METRICS = [HEAT, "migmond_disk_bytes_total", "migmond_disk_operations_total", "migmond_cpu_busy_ratio", "migmond_memory_used_bytes", "migmond_memory_size_bytes", "migmond_execution_failed_entries_total", "migmond_execution_retries_total"];

/** How much of `whole` something is, as sum() and mean() put series together. */
const share = (whole) => (name, parts) => {
  const part = sum(name, parts), size = sum(name, whole);
  if (!part || !size) return null;
  return { ...part, ...listsOf(part, (values) => values.map((v, i) => (v === null || !size.mean[i] ? null : v / size.mean[i]))), unit: "ratio" };
};
const perMinute = (name, parts) => { const total = sum(name, parts); return total && scaled(total, 60, { perSecond: false }); };

/** The highest that was measured of it, so that no more disks than people can tell apart are drawn. */
const hottest = (s) => s.high.reduce((most, v) => (v > most ? v : most), -Infinity);

/** What is drawn: [title, series] by chart, and the times of all of them. */
function drawn(view) {
  const all = curves(view, (c) => c.metric);
  const of = (metric, test = () => true) => all.series.filter((s, i) => s.name === metric && test(view.series[i].labels));
  const dir = (d) => (labels) => labels.direction === d;
  const chart = (title, ...pairs) => [title, pairs.map(([name, parts, how]) => (how || sum)(name, parts)).filter(Boolean)];
  const told = all.series.map((s, i) => ({ ...s, name: view.series[i].labels.device || "" })).filter((_, i) => view.series[i].metric === HEAT);
  const heat = told.sort((a, b) => hottest(b) - hottest(a)).slice(0, MOST_DISKS).sort((a, b) => (a.name < b.name ? -1 : 1));
  return { xs: all.xs, charts: [
    chart("Throughput", ["Read", of("migmond_disk_bytes_total", dir("read"))], ["Write", of("migmond_disk_bytes_total", dir("write"))]),
    chart("Resource usage", ["CPU", of("migmond_cpu_busy_ratio"), mean], ["Memory", of("migmond_memory_used_bytes"), share(of("migmond_memory_size_bytes"))]),
    chart("Errors and retries per minute", ["Errors", of("migmond_execution_failed_entries_total"), perMinute], ["Retries", of("migmond_execution_retries_total"), perMinute]),
    chart("I/O operations", ["Read", of("migmond_disk_operations_total", dir("read"))], ["Write", of("migmond_disk_operations_total", dir("write"))]),
    ...(heat.length ? [[told.length > heat.length ? `Device temperatures, the hottest ${heat.length} of ${told.length}` : "Device temperatures", heat]] : []),
  ] };
}

export default function SystemCharts() {
  const box = useRef(null), found = useHistory(METRICS, { seen: useSeen(box) }), shown = useMemo(() => found.data && drawn(found.data), [found.data]);
  const charts = useMemo(() => shown && shown.charts.map(([title, series]) => html`<${Chart} key=${title} title=${title} xs=${shown.xs} series=${series} marks=${found.marks} range=${found.range} onRange=${found.onRange} />`), [shown, found.marks, found.range]); // a look that has not been answered yet draws nothing
  return html`<section class="panel" aria-label="System" ref=${box}><header><h2>System</h2><${Spans} /><${ZoomHint} /></header>
    ${found.error && !found.data ? html`<p class="empty">${found.error.message}</p>` : shown === null ? html`<${Loading} />` : html`<div class="grid four">${charts}</div>`}</section>`;
}
