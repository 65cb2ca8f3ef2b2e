/** What a panel of somebody's dashboard shows, looked at anew every few seconds. */
import { html, useMemo } from "./lib.js";
import { get, post } from "./api.js";
import { executions } from "./store.js";
import { Badge, Empty, Loaded, Named, Table, useBeat, useLoaded } from "./parts.js";
import { Chart } from "./chart.js";
import { curves } from "./series.js";
import { DASH, measure, percent, rate, time } from "./format.js";

const LOOK_MS = 5000, MOST_DRAWN = 8, MOST_TOLD = 15, NO_MARKS = [];

/** The id that history and samples know a migration by, of what the panel says: id, its beginning or a name. */
const idOf = (text) => [...executions.value.values()].find((v) => v.id === text || v.name === text || (text.length > 3 && v.id.startsWith(text)))?.id || text;
const selectOf = (p) => (p.select || []).map((s) => ({ metric: s.metric, labels: { ...s.labels, ...(p.execution ? { execution: idOf(p.execution) } : {}) } }));

export function Shown({ of }) {
  if (of.kind === "chart") return html`<${Over} of=${of} />`;
  if (of.kind === "tile") return html`<${Figure} of=${of} />`;
  if (of.kind === "timeline") return html`<${Happened} of=${of} />`;
  return of.select?.length ? html`<${Newest} of=${of} />` : html`<${Running} of=${of} />`;
}

function Over({ of }) {
  const select = selectOf(of), found = useLoaded(() => post("/history", { select, span_s: of.span_s ?? 3600, points: 300 }), [JSON.stringify(select), of.span_s, useBeat(LOOK_MS)]);
  const drawn = useMemo(() => found.data && curves({ ...found.data, series: found.data.series.slice(0, MOST_DRAWN) }, (c) => `${c.metric.replace("migmond_", "")} ${Object.values(c.labels).join(" ")}`.slice(0, 50)), [found.data]);
  return html`<${Loaded} of=${found}>${(d) => html`<${Chart} title=${of.title} titled=${false} xs=${drawn.xs} series=${drawn.series} marks=${NO_MARKS} />${d.series.length > MOST_DRAWN && html`<p class="in dim">${d.series.length - MOST_DRAWN} more series are not drawn; name labels to choose.</p>`}`}<//>`;
}

/** The newest samples of what is selected, with the units of their metrics. */
async function newest(select) {
  const [metrics, ...pages] = await Promise.all([get("/metrics"), ...select.map((s) => get("/metrics/latest", { prefix: s.metric, labels: s.labels, limit: 200 }))]);
  const units = new Map(metrics.metrics.map((m) => [m.name, m.unit]));
  return pages.flatMap((page, i) => page.samples.filter((s) => s.metric === select[i].metric)).map((s) => ({ ...s, unit: units.get(s.metric) || "" }));
}
const named = (labels) => Object.entries(labels).map(([k, v]) => `${k}=${v}`).join(", ");

function Figure({ of }) {
  const select = selectOf(of), found = useLoaded(() => newest(select), [JSON.stringify(select), useBeat(LOOK_MS)]);
  return html`<${Loaded} of=${found}>${(d) => d.length === 0 ? html`<${Empty}>Nobody has told it yet.<//>` : html`<div class="in tile-in"><div class="value">${measure(d[0].value, d[0].unit)}</div><div class="sub">${[named(d[0].labels), d.length > 1 && `the first of ${d.length}`, time(d[0].at)].filter(Boolean).join(" · ")}</div></div>`}<//>`;
}
function Newest({ of }) {
  const select = selectOf(of), found = useLoaded(() => newest(select), [JSON.stringify(select), useBeat(LOOK_MS)]);
  return html`<${Loaded} of=${found}>${(d) => d.length === 0 ? html`<${Empty}>Nobody has told any of it yet.<//>` : html`<${Table} label=${of.title} rows=${d} columns=${[{ name: "Metric", cls: "name", cell: (s) => html`${s.metric}<span class="sub">${named(s.labels)}</span>` }, { name: "Value", num: true, cell: (s) => measure(s.value, s.unit) }, { name: "At", num: true, cell: (s) => time(s.at) }]} />`}<//>`;
}
function Running({ of }) {
  const rows = [...executions.value.values()].filter((v) => (of.execution ? v.id === idOf(of.execution) : !["completed", "failed", "cancelled", "completed_with_errors"].includes(v.state)));
  return rows.length === 0 ? html`<${Empty}>Nothing runs.<//>` : html`<${Table} label=${of.title} rows=${rows} keyOf=${(v) => v.id} columns=${[{ name: "State", cell: (v) => html`<${Badge} kind=${v.state} />` }, { name: "Migration", cls: "name", cell: (v) => html`<${Named} of=${v} />` }, { name: "Done", num: true, cell: (v) => percent(v.progress.percent_done) }, { name: "Rate", num: true, cell: (v) => rate(v.progress.bytes_per_s) }]} />`;
}
function Happened({ of }) {
  const only = of.execution ? idOf(of.execution) : "";
  const found = useLoaded(() => post("/history", { select: [{ metric: "migmond_execution_bytes_total", labels: {} }], span_s: of.span_s ?? 3600, points: 2, annotations: true }), [of.span_s, useBeat(LOOK_MS)]);
  return html`<${Loaded} of=${found}>${(d) => { const rows = d.annotations.filter((a) => !only || a.execution === only).sort((a, b) => b.at_s - a.at_s).slice(0, MOST_TOLD); return rows.length === 0 ? html`<${Empty}>Nothing happened in this time.<//>` : html`<${Table} label=${of.title} rows=${rows} columns=${[{ name: "When", cell: (a) => time(a.at) }, { name: "Kind", cell: (a) => a.kind }, { name: "What", cls: "name", cell: (a) => html`${a.kind === "phase" ? a.text.replaceAll("_", " ").replace(/: finished$/, "") : a.text}${a.execution && html`<span class="sub">${executions.value.get(a.execution)?.name || a.execution.slice(0, 6) || DASH}</span>`}` }]} />`; }}<//>`;
}
