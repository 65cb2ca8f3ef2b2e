/** What was measured of one migration: the chart that the address names or all of them, below what it was busy with. */
import { html, useMemo, useRef } from "./lib.js";
import { Choice, Loaded, useSeen } from "./parts.js";
import { Chart } from "./chart.js";
import { curves, scaled } from "./series.js";
import { phases } from "./phases.js";
import { Strip } from "./strip.js";
import { param, turn } from "./main.js";
import { Spans, useHistory, ZoomHint } from "./over.js";

const VIEWS = [["throughput", "Throughput"], ["resources", "Resources"], ["errors", "Errors"], ["io", "I/O"], ["eta", "ETA"], ["movers", "Movers"], ["all", "All"]];
const PREFIX = "migmond_execution_";
const METRICS = ["bytes_total", "failed_entries_total", "cpu_seconds_total", "read_bytes_total", "written_bytes_total", "movers", "remaining_seconds", "remaining_low_seconds", "remaining_high_seconds"].map((m) => PREFIX + m);

/** [title, series] by the name of the view, and the times of all of them. */
function drawn(view) {
  const { xs, series } = curves(view, (c) => c.metric.slice(PREFIX.length));
  const of = (metric, name) => series.filter((s) => s.name === metric).slice(0, 1).map((s) => ({ ...s, name }));
  const [left] = of("remaining_seconds", "Left"), [low] = of("remaining_low_seconds", ""), [high] = of("remaining_high_seconds", "");
  return { xs, charts: {
    throughput: ["Throughput", of("bytes_total", "Moved")],
    resources: ["Processor time, of one core", of("cpu_seconds_total", "CPU").map((s) => scaled(s, 1, { unit: "ratio", perSecond: false }))],
    errors: ["Failed entries per minute", of("failed_entries_total", "Failed").map((s) => scaled(s, 60, { perSecond: false }))],
    io: ["Disk I/O of its movers", [...of("read_bytes_total", "Read"), ...of("written_bytes_total", "Written")]],
    eta: ["Time left, with its 80 % band", left ? [{ ...left, low: low ? low.mean : left.low, high: high ? high.mean : left.high, band: true }] : []],
    movers: ["Movers", of("movers", "Movers").map((s) => ({ ...s, counts: true }))],
  } };
}

const BESIDE = 0.05, LEAST_S = 10;
/** The time of a migration that has ended, with a little before and after; null for any other. */
function runOf({ started_at: started, finished_at: finished }) {
  if (!started || !finished) return null;
  const from = new Date(started).getTime() / 1000, to = new Date(finished).getTime() / 1000, more = Math.max(LEAST_S, BESIDE * (to - from));
  return [from - more, to + more];
}

export default function Charts({ of: view, timeline }) {
  const id = view.id, asked = param("chart", "throughput"), which = VIEWS.some(([k]) => k === asked) ? asked : "throughput";
  const whole = useMemo(() => runOf(view), [view.started_at, view.finished_at]);
  const box = useRef(null), seen = useSeen(box);
  const found = useHistory(METRICS, { about: id, whole, began: view.started_at ? new Date(view.started_at).getTime() / 1000 : null, seen }), now = useMemo(() => found.data && drawn(found.data), [found.data]);
  const course = useMemo(() => phases(timeline?.milestones || [], view.finished_at), [timeline, view.finished_at]);
  const shown = which === "all" ? VIEWS.map(([k]) => k).filter((k) => k !== "all") : [which];
  return html`<section class="panel" aria-label="Charts" ref=${box}><header><h2>Charts</h2><${Choice} label="Chart" options=${VIEWS} value=${which} onChange=${(v) => turn({ chart: v })} /><${Spans} whole=${whole} /><${ZoomHint} /></header>
    <${Loaded} of=${found}>${(d) => html`<${Strip} phases=${course} marks=${found.marks} range=${[d.first_s, d.first_s + d.step_s * Math.max(1, d.points - 1)]} /><div class=${which === "all" ? "grid" : ""}>${shown.map((k) => html`<${Chart} key=${k} title=${now.charts[k][0]} xs=${now.xs} series=${now.charts[k][1]} marks=${found.marks} range=${found.range} onRange=${found.onRange} />`)}</div>`}<//></section>`;
}
