/** What was moved over a time, how well, what it cost, which disks are at risk; to keep as a file. */
import { html } from "../lib.js";
import { get } from "../api.js";
import { BASE } from "../host.js";
import { Badge, Choice, Empty, Loaded, Named, Panel, save, Table, Tile, toast, failed, useAnswer } from "../parts.js";
import { bytes, count, DASH, digits, duration, energy, rate, time } from "../format.js";
import { param, turn } from "../main.js";
import { Onward } from "../paging.js";

const ROWS = 50, MOST = 1000;
const SPANS = [["86400", "1 day"], ["604800", "7 days"], ["2592000", "30 days"], ["31536000", "1 year"]];

async function keep(table, format, span) {
  try {
    const parts = [];
    let after = 0;
    do {
      const page = await get("/export", { table, format, after, span_s: span });
      parts.push(page.text);
      after = page.next;
    } while (after !== null);
    save(new Blob(parts, { type: format === "csv" ? "text/csv" : "application/x-ndjson" }), `migmond-${table}.${format === "csv" ? "csv" : "jsonl"}`);
    toast(`${table} were saved`);
  } catch (e) { failed(e); }
}

/** Save the report with all of its migrations, from all pages of it. */
async function keepAll(span, until) {
  try {
    let whole = null;
    do {
      const page = await get("/reports", { span_s: span, until: whole?.until ?? until, before: whole?.next, limit: MOST });
      whole = { ...(whole || page), executions: [...(whole?.executions || []), ...page.executions], next: page.next, left: page.left };
    } while (whole.next !== null);
    save(new Blob([JSON.stringify(whole, null, 1)], { type: "application/json" }), "migmond-report.json");
  } catch (e) { failed(e); }
}

export default function Reports() {
  const span = param("span", "2592000"), before = param("before"), until = param("until");
  const found = useAnswer(() => get("/reports", { span_s: span, until, before, limit: ROWS }), [span, until, before]);
  return html`<div class="row"><h1>Reports</h1><${Choice} label="Over the last" options=${SPANS} value=${span} onChange=${(v) => turn({ span: v, before: null, until: null })} />
    <span class="row end"><button onClick=${() => keep("executions", "csv", span)}>Migrations as CSV</button><button onClick=${() => keep("executions", "json", span)}>Migrations as JSON</button><button onClick=${() => keepAll(span, until)}>Report as JSON</button><a class="button" href=${`${BASE}/reports/html?span_s=${encodeURIComponent(span)}`} download="migmond-report.html">Report as HTML</a><button onClick=${() => print()}>Print</button></span></div>
    <${Loaded} of=${found}>${(d) => html`<p class="dim">${time(d.since)} ${DASH} ${time(d.until)}</p>
      <div class="tiles"><${Tile} name="Migrations" value=${count(d.sums.executions)} more=${Object.entries(d.states).map(([s, n]) => `${n} ${s.replaceAll("_", " ")}`).join(", ")} />
        <${Tile} name="Moved" value=${bytes(d.sums.done.bytes)} more=${`${count(d.sums.done.entries)} entries`} />
        <${Tile} name="Failed" value=${count(d.sums.failed.entries)} kind=${d.sums.failed.entries ? "critical" : ""} />
        <${Tile} name="Mean score" value=${d.mean_score === null ? DASH : `${Math.round(d.mean_score)} / 100`} />
        <${Tile} name="Active" value=${duration(d.sums.active_s)} more=${`held ${duration(d.sums.held_s)}`} />
        <${Tile} name="Cost" value=${d.cost.amount === null ? DASH : `${d.cost.amount.toFixed(2)} ${d.cost.currency}`} more=${d.cost.energy_j === null ? "" : energy(d.cost.energy_j)} /></div>
      <${Panel} title="Migrations">${d.executions.length === 0 ? html`<${Empty}>None ran in this time.<//>` : html`<${Table} key=${d.of} label="Migrations" rows=${d.executions} keyOf=${(r) => r.id} columns=${[
        { name: "State", cell: (r) => html`<${Badge} kind=${r.state} />` },
        { name: "Migration", cls: "name", cell: (r) => html`<${Named} of=${r} /><span class="sub">${[r.source, r.target].filter(Boolean).join(" → ")}</span>` },
        { name: "Moved", num: true, cell: (r) => html`${bytes(r.done.bytes)}<span class="sub">${count(r.done.entries)} entries</span>` },
        { name: "Failed", num: true, cell: (r) => count(r.failed) },
        { name: "Average", num: true, cell: (r) => html`${rate(r.average_bytes_per_s)}<span class="sub">peak ${rate(r.peak_bytes_per_s)}</span>` },
        { name: "Score", num: true, cell: (r) => r.score === null ? DASH : Math.round(r.score) },
        { name: "Bottleneck", cls: "name", cell: (r) => r.bottleneck || DASH },
        { name: "Started", num: true, cell: (r) => time(r.started_at) },
        { name: "", cls: "acts", cell: (r) => html`<a class="button" href=${`${BASE}/${encodeURIComponent(r.id)}/report/html`} download=${`migmond-${r.id.slice(0, 8)}.html`} aria-label=${`Report of ${r.name} as HTML`}>HTML</a>` },
      ]} />`}<${Onward} at=${before} next=${d.next} which=${whichOf(d)} turn=${(cursor) => turn({ before: cursor, until: cursor && d.until })} /><//>
      <div class="two"><${Panel} title="Trends">${d.trends.length === 0 ? html`<${Empty}>There are too few runs.<//>` : html`<${Table} label="Trends" rows=${d.trends} columns=${[
        { name: "What", cls: "name", cell: (t) => t.name }, { name: "Direction", cell: (t) => t.direction.replaceAll("_", " ") }, { name: "Runs", num: true, cell: (t) => count(t.runs) }, { name: "Note", cls: "name", cell: (t) => t.reason || (t.p === null ? DASH : `p = ${digits(t.p, 2)}`) },
      ]} />`}<//>
      <${Panel} title="Disks at risk">${d.disks.length === 0 ? html`<${Empty}>Nothing speaks against any disk that tells.<//>` : html`<${Table} label="Disks at risk" rows=${d.disks} columns=${[
        { name: "Disk", cell: (f) => f.device }, { name: "Severity", cell: (f) => html`<${Badge} kind=${f.severity} />` }, { name: "What", cls: "name", cell: (f) => html`${f.title}<span class="sub">${f.evidence}</span>` }, { name: "Do", cls: "name", cell: (f) => f.action },
      ]} />`}<//></div>
      ${d.cost.missing.length > 0 && html`<p class="note">Not in the cost: ${d.cost.missing.join("; ")}.</p>`}`}<//>`;
}
/** Which of all the migrations of the time are on this page. */
const whichOf = ({ sums, executions, left }) => executions.length > 0 && `${count(sums.executions - left - executions.length + 1)} ${DASH} ${count(sums.executions - left)} of ${count(sums.executions)}`;
