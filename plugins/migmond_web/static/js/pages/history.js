/** All migrations there were; two to five of them compared. */
import { html, useEffect, useRef, useState } from "../lib.js";
import { get } from "../api.js";
import { happened } from "../store.js";
import { Badge, Empty, later, Loaded, Named, Panel, Table, toast, useAnswer, useLoaded, Ways } from "../parts.js";
import { bytes, count, DASH, duration, measure, rate, time } from "../format.js";
import { go, param, turn } from "../main.js";
import { Pages } from "../paging.js";

const Course = later("", () => import("../course.js"));
const PAGE = 25, MOST = 5, LONGEST = 24;
const STATES = [["", "any state"], ["completed", "completed"], ["completed_with_errors", "completed with errors"], ["failed", "failed"], ["cancelled", "cancelled"], ["running", "running"], ["paused", "paused"], ["waiting", "waiting"], ["drained", "drained"]];

const SORTS = [["", "newest first"], ["name", "by name"], ["state", "worst first"]];
const RESTS_MS = 250;
/** A field whose text counts once nobody types any more. */
function Search({ value, onChange }) {
  const [text, set] = useState(value), told = useRef(value);
  useEffect(() => { if (value !== told.current) { told.current = value; set(value); } }, [value]); // somebody else's, not what was typed here a moment ago
  useEffect(() => {
    if (text.trim() === value) return undefined;
    const rest = setTimeout(() => { told.current = text.trim(); onChange(told.current); }, RESTS_MS);
    return () => clearTimeout(rest);
  }, [text]);
  return html`<label>Search <input type="search" value=${text} onInput=${(e) => set(e.target.value)} placeholder="name or path" size="18" spellcheck=${false} /></label>`;
}

const CHANGES = ["hello", "execution.created", "execution.state", "execution.forgotten"];
/** A number that is another one after a migration has come, gone or changed its state. */
function useEnds() {
  const last = useRef(0), { type, n } = happened.value;
  if (CHANGES.includes(type)) last.current = n;
  return last.current;
}

const idsIn = (name) => param(name).split(",").filter(Boolean);

export default function History() {
  const picked = idsIn("pick"), compared = idsIn("compare");
  useForgotten(picked, compared);
  return compared.length > 1 ? html`<${Compare} ids=${compared} />` : html`<${List} picked=${picked} />`;
}

function List({ picked }) {
  const offset = Number(param("offset", "0")) || 0, state = param("state"), sort = param("sort"), search = param("search");
  const found = useAnswer(() => get("/migrations", { offset, limit: PAGE, states: state ? [state] : [], sort, search }), [offset, state, sort, search], [useEnds()]);
  const toggle = (id) => turn({ pick: (picked.includes(id) ? picked.filter((p) => p !== id) : [...picked, id].slice(-MOST)).join(",") });
  const choose = (name, label, options, value) => html`<label>${label} <select value=${value} onChange=${(e) => turn({ [name]: e.target.value, offset: null })}>${options.map(([v, t]) => html`<option value=${v}>${t}</option>`)}</select></label>`;
  return html`<h1>History</h1>
    <${Panel} title="Migrations" end=${html`<span class="row"><${Search} value=${search} onChange=${(text) => turn({ search: text, offset: null })} />${choose("state", "State", STATES, state)}${choose("sort", "Order", SORTS, sort)}<button class="main" disabled=${picked.length < 2} onClick=${() => go("/history", { compare: picked.join(",") })}>Compare ${picked.length || ""}</button></span>`}>
      <${Loaded} of=${found}>${(d) => d.executions.length === 0 ? html`<${Empty}>${state || search ? "None is like that." : "There are none."}<//>` : html`<${Table} key=${d.of} label="Migrations" rows=${d.executions} keyOf=${(v) => v.id} columns=${[
        { name: "Compare", cell: (v) => html`<input type="checkbox" aria-label=${`Compare ${v.name}`} checked=${picked.includes(v.id)} onChange=${() => toggle(v.id)} />` },
        { name: "State", cell: (v) => html`<${Badge} kind=${v.state} />` },
        { name: "Migration", cls: "name", cell: (v) => html`<${Named} of=${v} /><${Ways} of=${v} />` },
        { name: "Done", num: true, cell: (v) => html`${bytes(v.progress.done.bytes)}<span class="sub">${count(v.progress.done.entries)} entries</span>` },
        { name: "Failed", num: true, cell: (v) => count(v.progress.failed.entries) },
        { name: "Took", num: true, cell: (v) => duration(v.progress.seconds_elapsed) },
        { name: "Average", num: true, cell: (v) => v.progress.seconds_elapsed > 0 ? rate(v.progress.done.bytes / v.progress.seconds_elapsed) : DASH },
        { name: "Started", num: true, cell: (v) => time(v.started_at) },
      ]} /><${Pages} offset=${offset} size=${PAGE} total=${d.total} set=${(o) => turn({ offset: o || null })} />`}<//><//>`;
}

/** What is forgotten meanwhile is picked and compared no more. */
function useForgotten(picked, compared) {
  const { type, execution, name, n } = happened.value;
  useEffect(() => {
    if (type !== "execution.forgotten") return;
    const rest = (ids) => ids.filter((id) => id !== execution);
    if (picked.includes(execution)) turn({ pick: rest(picked).join(",") });
    if (!compared.includes(execution)) return;
    toast(`${name} was forgotten: it is compared no more`);
    if (compared.length > 2) turn({ compare: rest(compared).join(",") });
    else go("/history", { pick: rest(compared).join(",") });
  }, [n]);
}

const NAMES = { bytes: "Moved", active_s: "Active", held_s: "Held", average_bytes_per_s: "Average rate", peak_bytes_per_s: "Peak rate", entries_per_s: "Entries a second", failed_entries: "Failed entries", cpu_s_per_gb: "Processor time per GB", resources: "Score of resources", success: "Score of success", speed: "Score of speed" };
/** What a difference is about, in words. */
const nameOf = (name) => NAMES[name] || `${name[0].toUpperCase()}${name.slice(1).replaceAll("_", " ")}`;
/** A name as the head of a column: there is room for five. */
const short = (name) => (name.length > LONGEST ? `${name.slice(0, LONGEST - 1)}…` : name);
const changeOf = (change, verdict) => (verdict === "same" ? "same" : `${change >= 0 ? "+" : "−"}${count(Math.abs(100 * change))} % ${verdict}`);
/** What is said below a value: that it goes on, or how it differs from the first one. */
function noteOf(row, i) {
  const said = row.so_far?.[i] ? "so far" : row.changes[i] === null ? "" : changeOf(row.changes[i], row.verdicts[i]);
  return said && html`<span class="sub">${said}</span>`;
}

function Compare({ ids }) {
  const found = useLoaded(() => get("/compare", { ids }), [ids.join(",")]);
  return html`<p><a href=${`/history?pick=${ids.join(",")}`}>History</a> / Compare</p><h1>${ids.length} migrations compared</h1>
    <${Loaded} of=${found}>${(d) => html`<${Panel} title="Rate by percent done"><${Course} curves=${d.curves.map((c, i) => ({ name: d.names[i] || c.id.slice(0, 6), points: c.points }))} /><//>
      <${Panel} title="Differences" end="against the first"><${Table} label="Differences" rows=${d.differences} keyOf=${(r) => r.name} columns=${[
        { name: "What", cls: "name", cell: (r) => nameOf(r.name) },
        ...d.ids.map((id, i) => ({ name: `${short(d.names[i] || "")} ${id.slice(0, 6)}`.trim(), num: true, cls: "full", cell: (r) => html`${measure(r.values[i], r.unit)}${noteOf(r, i)}` })),
      ]} /><//>`}<//>`;
}
