/** One migration: how far, why, what it does, what went wrong, what was changed. */
import { html, useEffect, useRef, useState } from "../lib.js";
import { get, undo } from "../api.js";
import { executions, happened, may, usable } from "../store.js";
import { Ago, Badge, Bar, Choice, Empty, Failure, failed, later, Left, Loaded, Panel, Table, Tile, toast, useAnswer, useBeat, useLoaded } from "../parts.js";
import { phases } from "../phases.js";
import { below, bytes, count, DASH, duration, percent, rate, ratio, settled, there, time, waysOf } from "../format.js";
import { param, turn } from "../main.js";
import { ahead, apply, CAN_STEER, Controls, Intervene } from "../controls.js";
import { Pages } from "../paging.js";
import { Remarks } from "../remarks.js";
import "../forms.js"; // here one steers: what the dialogs hold is there before anybody opens one

ahead();
const LOOK_MS = 3000, PAGE = 25;
const Charts = later("Charts", () => import("../runcharts.js"));
const Ending = later("", () => import("../ending.js"));
const ENDED = ["completed", "failed", "cancelled", "completed_with_errors"];
const LEAST_SHARE = 0.0005; // less is told as 0.0 %
const STEPS = [["scan", "Scan"], ["copy", "Copy"], ["delete", "Delete sources"], ["directories", "Directories"], ["finished", "Finish"]];

/** A value that changes every few seconds while the page is seen, and whenever something happens to this migration. */
function useNews(id) {
  const beat = useBeat(LOOK_MS), last = useRef(0);
  if (happened.value.execution === id || happened.value.type === "hello") last.current = happened.value.n;
  return [`${beat}.${last.current}`, last.current];
}

export default function Migration({ id }) {
  const { type, execution, name } = happened.value, gone = useRef("");
  if (type === "execution.forgotten" && execution === id) gone.current = name;
  if (gone.current) return html`<h1>${gone.current}</h1><p class="note" role="alert">It was forgotten: nothing of it is on record any more. Its files are where they are.</p><p><a href="/history">History</a></p>`;
  return html`<${Known} id=${id} />`;
}

/** How well it does; once it is over, what its report says. */
function useScore(id, over, running) {
  const found = useLoaded(() => (over ? get(`/${encodeURIComponent(id)}/report`) : Promise.resolve(null)), [id, over]);
  const { data, error } = found, value = data ? data.score?.score ?? null : running?.[id] === undefined ? null : 100 * running[id];
  return { value, why: value !== null ? "" : data?.score?.reason || data?.reason || error?.message || "not known yet" };
}

function Known({ id }) {
  const known = executions.value.get(id), [beat, news] = useNews(id);
  const session = useLoaded(() => get(`/${encodeURIComponent(id)}`), [id, beat]);
  const timeline = useLoaded(() => get(`/${encodeURIComponent(id)}/timeline`), [id, news]);
  const around = useLoaded(() => get("/dashboard", { executions: false }), [id, beat]);
  const alerts = around.data && (around.data.alerts?.alerts || []).filter((a) => a.execution === id && a.state === "firing");
  const view = known || (session.error?.status === 404 ? null : session.data?.execution);
  const over = ENDED.includes(view?.state), score = useScore(id, over, around.data?.scores);
  useEffect(() => { if (view) document.title = `${view.name} · migmond`; }, [view?.name]);
  if (!view) return session.error ? html`<h1>Migration</h1><${Failure} error=${session.error} again=${session.again} /><p><a href="/history">History</a></p>` : html`<p class="empty" role="status">Loading …</p>`;
  const live = !over, why = view.why || (over && session.data?.execution.why) || ""; // how far a verification is, no event says
  const p = view.progress, s = session.data, rates = s?.performance?.rates;
  return html`<p><a href="/">Overview</a> / ${view.name}</p>
    <div class="row title"><h1>${view.name}</h1><${Badge} kind=${view.state} /><span class="dim">${waysOf(view)} · ${view.id.slice(0, 6)}</span><span class="row end"><${Controls} of=${view} cancel />${!live && html`<${Ending} of=${view} />`}</span></div>
    ${why && html`<p class="note ${view.state === "failed" ? "critical" : view.holds.length || view.state === "completed_with_errors" ? "warning" : ""}">${why}</p>`}
    <${Remarks} of=${view} rolledBack=${session.data?.execution.rolled_back} />
    <section class="panel" aria-label="Progress"><div class="in"><${Bar} tall value=${p.percent_done} label=${`done: ${percent(p.percent_done)}`} />
      <p class="row"><strong>${p.percent_done === null ? "scanning" : percent(p.percent_done)}</strong><span>${bytes(settled(p, "bytes"))} of ${bytes(p.planned.bytes)}${p.growing ? " so far" : ""}</span><span>${count(settled(p, "entries"))} of ${count(p.planned.entries)} entries</span>${live ? html`<span class="left">${p.seconds_remaining === null ? "" : "done in "}<${Left} of=${p} /></span>` : html`<span>took ${duration(p.seconds_elapsed)}, ended ${time(view.finished_at)}</span>`}</p>
      <${Steps} of=${view} timeline=${timeline.data} /></div></section>
    <div class="tiles">
      <${Tile} name=${live ? "Current throughput" : "Average throughput"} value=${rate(live ? p.bytes_per_s : p.seconds_elapsed > 0 ? p.done.bytes / p.seconds_elapsed : null)} more=${live && rates?.average ? `average ${rate(rates.average.bytes_per_s)}${s.peak_bytes_per_s ? `, peak ${rate(s.peak_bytes_per_s)}` : ""}` : ""} />
      <${Tile} name="Efficiency score" value=${score.value === null ? DASH : `${Math.round(score.value)} / 100`} more=${score.why} />
      <${Tile} name="Entries" value=${live && p.entries_per_s !== null ? `${count(p.entries_per_s)}/s` : DASH} more=${`${count(p.skipped.entries)} skipped, ${count(p.in_flight.entries)} to be made durable`} />
      <${Tile} name="Active alerts" value=${alerts ? count(alerts.length) : DASH} kind=${alerts?.length ? "warning" : ""} more=${alerts?.length ? html`${alerts[0].rule_name}, <${Ago} at=${alerts[0].fired_at} />` : ""} />
      <${Tile} name="Errors" value=${count(p.failed.entries)} kind=${p.failed.entries ? "critical" : ""} more=${p.failed.entries ? "their sources are untouched" : ""} />
      <${Tile} name="Movers" value=${count(view.movers.length)} more=${s ? `${s.resources.cpu_s === null ? "" : `CPU ${duration(s.resources.cpu_s)}, `}${bytes(s.resources.resident_bytes)} RAM` : ""} /></div>
    <${Charts} of=${view} timeline=${timeline.data} />
    <div class="two"><div>${s?.performance && html`<${Time} of=${view} time=${s.performance.time} />`}<${Breakdown} of=${view} beat=${beat} /></div>
      <div><${LargeFiles} of=${view} beat=${beat} live=${live} /><${Batches} id=${view.id} beat=${beat} /><${Timeline} found=${timeline} /></div></div>
    <${Errors} of=${view} beat=${p.failed.entries} />
    <${Changes} of=${view} beat=${news} />
    <${Files} id=${view.id} beat=${beat} />`;
}

function Steps({ of, timeline }) {
  const told = phases(timeline?.milestones || [], of.finished_at);
  const when = (k) => { const of = told.filter((p) => p.name === k); return of.length === 0 ? "" : of.at(-1).to === null ? `since ${time(of[0].from)}` : `${time(of[0].from)}, ${duration(of.reduce((sum, p) => sum + p.to - p.from, 0))}`; };
  const steps = STEPS.filter(([k]) => k !== "delete" || of.operation === "move"), at = steps.findIndex(([k]) => k === of.stage);
  const here = at < 0 ? 1 : at, over = of.state === "completed" || of.stage === "finished";
  return html`<ol class="steps" aria-label="Phases">${steps.map(([k, text], i) => html`<li class=${over || i < here ? "done" : ""} aria-current=${!over && i === here ? "step" : undefined}>${over || i < here ? "✓ " : i === here ? "● " : ""}${text}<span class="sub">${when(k)}</span></li>`)}</ol>`;
}

function Time({ of, time: t }) {
  const [open, setOpen] = useState(null);
  return html`<${Panel} title="Where the time goes" end=${t.seconds ? `of ${duration(t.seconds)} of its movers` : ""}>
    ${t.shares.length === 0 ? html`<${Empty}>${t.reason || "Nothing was measured yet."}<//>` : html`<${Table} label="Where the time goes" rows=${t.shares.filter((s) => s.share >= LEAST_SHARE)} keyOf=${(s) => s.cause} columns=${[
      { name: "Cause", cell: (s) => s.title },
      { name: "Share", cls: "full", cell: (s) => html`<${Bar} value=${100 * s.share} label=${s.title} />${ratio(s.share)}` },
      { name: "Evidence", cls: "name", cell: (s) => s.evidence || DASH },
    ]} />`}
    ${t.suggestions.length > 0 && html`<div class="in">${t.suggestions.map((s) => html`<p><strong>${s.text}</strong> <span class="dim">+${Math.round(100 * s.gain_low)} … ${Math.round(100 * s.gain_high)} %: ${s.because}</span> ${formOf(s) && CAN_STEER.includes(of.state) && html`<button disabled=${!usable() || !may("operator")} onClick=${() => setOpen(s)}>Apply…</button>`}</p>`)}</div>`}
    ${open && html`<${Intervene} of=${of} kind=${formOf(open).kind} form=${formOf(open).form} onClose=${() => setOpen(null)} />`}<//>`;
}
/** The form of the dialog that a suggestion's command stands for. */
function formOf(s) {
  if (/\bthrottle .+ --off$/.test(s.command || "")) return { kind: "throttle", form: { unlimited: true } };
  const found = /^migmon (workers|batch) \S+ (\d+)$/.exec(s.command || "");
  return found ? { kind: "workers", form: found[1] === "workers" ? { workers: found[2] } : { batch: found[2] } } : null;
}

function LargeFiles({ of, beat, live }) {
  const [offset, setOffset] = useState(0);
  const found = useAnswer(() => get(`/${of.id}/large-files`, { offset, limit: 10 }), [of.id, offset], [live ? beat : 0]);
  const skip = (f) => apply(of, { type: "skip", selector: { under: below(f.path, of.sources) } });
  return html`<${Panel} title="Large files"><${Loaded} of=${found}>${(d) => d.files.length === 0 ? html`<${Empty}>No file of 64 MiB or more is at hand.<//>` : html`<${Table} key=${d.of} label="Large files" rows=${d.files} keyOf=${(f) => f.path} columns=${[
    { name: "File", cls: "name", cell: (f) => html`${below(f.path, of.sources)}<span class="sub">${f.state}</span>` },
    { name: "Progress", cls: "full", cell: (f) => html`<${Bar} value=${f.size ? (100 * f.bytes_done) / f.size : 100} label=${below(f.path, of.sources)} /><span class="sub">${percent(f.size ? (100 * f.bytes_done) / f.size : 100)} of ${bytes(f.size)}</span>` },
    { name: "Rate", num: true, cell: (f) => rate(f.bytes_per_s) },
    { name: "ETA", num: true, cell: (f) => f.seconds_remaining === null ? f.reason || DASH : duration(f.seconds_remaining) },
    { name: "", cls: "acts", cell: (f) => f.ended_at === null && html`<button disabled=${!usable() || !may("operator")} onClick=${() => skip(f)} aria-label=${`Skip ${below(f.path, of.sources)}`}>Skip</button>` },
  ]} /><${Pages} offset=${offset} size=${10} total=${d.total} set=${setOffset} />`}<//><//>`;
}


function Breakdown({ of, beat }) {
  const by = param("by", "type"), { id, sources } = of;
  const found = useLoaded(() => get(`/${id}/breakdown`, { by: [by], limit: 20 }), [id, by, beat]);
  const directory = (path) => (sources.length > 1 ? path : ["", ...sources].includes(path) ? "(top)" : below(path, sources)); // of several, it says of which
  const name = (r) => (by === "type" ? r.type : by === "size" ? r.size : r.directory === null ? null : directory(r.directory)) ?? "the rest";
  return html`<${Panel} title="Breakdown" end=${html`<${Choice} label="Breakdown by" options=${[["type", "Type"], ["size", "Size"], ["directory", "Directory"]]} value=${by} onChange=${(v) => turn({ by: v })} />`}><${Loaded} of=${found}>${(d) => d.rows.length === 0 ? html`<${Empty}>${d.reason || "Nothing was found yet."}<//>` : html`<${Table} label=${`Progress by ${by}`} rows=${d.rows} keyOf=${name} columns=${[
    { name: by[0].toUpperCase() + by.slice(1), cls: "name", cell: name },
    { name: "Copied", cls: "full", cell: (r) => html`<${Bar} value=${part(r)} label=${name(r)} /><span class="sub">${percent(part(r), 0)} of ${r.planned.bytes ? bytes(r.planned.bytes) : `${count(r.planned.entries)} ${r.planned.entries === 1 ? "entry" : "entries"}`}</span>` },
    { name: "Done", num: true, cell: (r) => html`${count(there(r, "entries"))}<span class="sub">of ${count(r.planned.entries)}</span>` },
    { name: "Failed", num: true, cell: (r) => count(r.failed.entries) },
  ]} />`}<//><//>`;
}
/** How much of a part is copied, as far as that is known before it is durable; what was there already is. */
const part = (r) => { const of = r.planned.bytes ? "bytes" : "entries"; return r.planned[of] ? Math.min(100, (100 * settled(r, of)) / r.planned[of]) : 100; };

function Batches({ id, beat }) {
  const found = useLoaded(() => get(`/${id}/batches`), [id, beat]);
  return html`<${Panel} title="Batches compared"><${Loaded} of=${found}>${(d) => d.by_progress.length === 0 ? html`<${Empty}>No batch has ended yet.<//>` : html`<${Table} label="Batches by progress" rows=${d.by_progress} columns=${[
    { name: "At", cell: (b) => b.percent_from === null ? "while scanning" : `${b.percent_from} ${DASH} ${b.percent_to} %` },
    { name: "Batches", num: true, cell: (b) => count(b.batches) },
    { name: "Entries", num: true, cell: (b) => count(b.entries) },
    { name: "Rate", num: true, cell: (b) => html`${rate(b.bytes_per_s)}<span class="sub">${b.entries_per_s === null ? "" : `${count(b.entries_per_s)}/s`}</span>` },
  ]} />`}<//><//>`;
}

function Errors({ of, beat }) {
  const found = useLoaded(() => get(`/${of.id}/errors`), [of.id, beat]);
  const steer = usable() && may("operator");
  const on = (g, type) => apply(of, { type, selector: { errors: [g.fingerprint || g.kind] } });
  return html`<${Panel} title="Errors" end="grouped by cause"><${Loaded} of=${found}>${(d) => d.groups.length === 0 ? html`<${Empty}>Nothing has failed.<//>` : html`<${Table} label="Errors" rows=${d.groups} keyOf=${(g) => `${g.phase}${g.kind}${g.errno}${g.first_at}`} columns=${[
    { name: "Count", num: true, cell: (g) => count(g.count) },
    { name: "Kind", cell: (g) => html`<${Badge} kind="critical">${g.kind}<//><span class="sub">${g.phase}</span>` },
    { name: "What", cls: "name", cell: (g) => html`${g.message}<span class="sub">${g.examples.join(", ")}</span>${(g.mount || g.device) && html`<span class="sub">on ${[g.device, g.mount].filter(Boolean).join(", ")}</span>`}` },
    { name: "First, last", cell: (g) => html`${time(g.first_at)}<span class="sub">${time(g.last_at)}</span>` },
    { name: "Advice", cls: "name", cell: (g) => html`${g.causes[0] && html`<strong>${g.causes[0].title}</strong> (${percent(100 * g.causes[0].score, 0)}) `}${g.meaning} ${g.hint || (g.causes.length || g.meaning ? "" : DASH)}${g.causes[0]?.evidence.length > 0 && html`<span class="sub">${g.causes[0].evidence.join("; ")}</span>`}${g.next && html`<span class="sub"><code>${g.next}</code></span>`}` },
    { name: "", cls: "acts", cell: (g) => html`<button disabled=${!steer} onClick=${() => on(g, "retry")} aria-label=${`Retry ${g.kind} of ${g.phase}`}>Retry</button>` },
  ]} />`}<//><//>`;
}

function Changes({ of, beat }) {
  const found = useLoaded(() => get(`/${of.id}/interventions`), [of.id, beat]);
  const back = (i) => undo(of.id, i.id).then(() => { toast(`${i.kind} was taken back`); found.again(); }, failed);
  return html`<${Panel} title="Interventions"><${Loaded} of=${found}>${(d) => d.interventions.length === 0 ? html`<${Empty}>Nobody has changed anything.<//>` : html`<${Table} label="Interventions" rows=${[...d.interventions].reverse()} keyOf=${(i) => i.id} columns=${[
    { name: "When", cell: (i) => html`${time(i.at)}<span class="sub">${i.id}</span>` },
    { name: "What", cls: "name", cell: (i) => html`${i.what || i.kind.replaceAll("_", " ")}<span class="sub">${[i.before, i.after].filter(Boolean).join(" → ")}</span>` },
    { name: "Who", cell: (i) => i.author },
    { name: "Reason", cls: "name", cell: (i) => i.reason || DASH },
    { name: "Until", cell: (i) => i.ended_at ? `${i.ended_by === "expired" ? "over since" : `taken back by ${i.ended_by}`} ${time(i.ended_at)}` : i.until ? time(i.until) : DASH },
    { name: "", cls: "acts", cell: (i) => i.undo && !i.ended_at && html`<button disabled=${!usable() || !may("operator")} onClick=${() => back(i)}>Revert</button>` },
  ]} />`}<//><//>`;
}

function Timeline({ found }) {
  return html`<${Panel} title="Timeline"><${Loaded} of=${found}>${(d) => html`<${Table} label="Timeline" rows=${[...d.milestones].reverse().slice(0, 100)} columns=${[
    { name: "When", cell: (m) => time(m.at) }, { name: "Kind", cell: (m) => m.kind.replaceAll("_", " ") }, { name: "What", cls: "name", cell: (m) => (m.kind === "state" ? m.text.replace(/^\w+/, (w) => w.replaceAll("_", " ")) : m.text) },
  ]} />`}<//><//>`;
}

/** What waits its turn is nothing to warn of. */
const FILE_KIND = { done: "completed", failed: "failed", running: "running" };
function Files({ id, beat }) {
  const state = param("files", "failed"), [after, setAfter] = useState([0]);
  useEffect(() => setAfter([0]), [state, id]);
  const found = useAnswer(() => get(`/${id}/files`, { selector: state === "all" ? {} : { states: [state] }, after: after.at(-1), limit: PAGE }), [id, state, after.at(-1)], [state === "done" || state === "all" ? 0 : beat]);
  return html`<${Panel} title="Files" end=${html`<${Choice} label="Files that are" options=${[["all", "All"], ["pending", "Pending"], ["running", "Running"], ["done", "Done"], ["skipped", "Skipped"], ["failed", "Failed"]]} value=${state} onChange=${(v) => turn({ files: v })} />`}><${Loaded} of=${found}>${(d) => html`${d.tasks.length === 0 ? html`<${Empty}>${d.next === null ? "None." : "None among those looked at."}<//>` : html`<${Table} key=${d.of} label="Files" rows=${d.tasks} keyOf=${(t) => t.number} columns=${[
    { name: "Path", cls: "name", cell: (t) => html`${t.path === "." ? "(top)" : t.path}<span class="sub">${t.fault || ""}</span>` },
    { name: "Size", num: true, cell: (t) => t.type === "file" ? bytes(t.size) : t.type },
    { name: "State", cell: (t) => html`<${Badge} kind=${FILE_KIND[t.state]} >${t.state}<//>` },
  ]} />`}<p class="row in"><button disabled=${after.length === 1} onClick=${() => setAfter(after.slice(0, -1))}>Previous</button><button disabled=${d.next === null} onClick=${() => setAfter([...after, d.next])}>Next</button></p>`}<//><//>`;
}
