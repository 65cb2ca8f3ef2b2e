/** What the dialogs of steering hold; what is around them is in controls.js, and these come when somebody is about to open one. */
import { html, useEffect, useMemo, useState } from "./lib.js";
import { intervene, undo } from "./api.js";
import { usable } from "./store.js";
import { failed, later, toast } from "./parts.js";
import { bytes, count, DASH, duration, mebibytes, NUMBER, rate, settled } from "./format.js";
import { apply, key } from "./controls.js";

const Browse = later("", () => import("./browse.js"));
const IS_NUMBER = new RegExp(`^${NUMBER}$`);

/** Pause or resume several at once, with one reason. */
export function Together({ of, type, onClose }) {
  const [reason, setReason] = useState(""), [busy, setBusy] = useState(false);
  const submit = async (e) => {
    e.preventDefault();
    setBusy(true);
    const done = await Promise.allSettled(of.map((v) => intervene(v.id, { type }, { key: key(), reason }).then(({ intervention }) => ({ v, intervention }))));
    const made = done.filter((d) => d.status === "fulfilled").map((d) => d.value), wrong = done.filter((d) => d.status === "rejected");
    const back = made.filter((m) => m.intervention?.undo);
    const undoAll = () => Promise.all(back.map((m) => undo(m.v.id, m.intervention.id))).then(() => toast(`${back.length} taken back`), failed);
    if (made.length) toast(`${type === "pause" ? "Paused" : "Resumed"} ${made.map((m) => m.v.name).join(", ")}`, back.length ? { text: "Undo", run: undoAll } : null);
    for (const d of wrong) failed(d.reason);
    onClose();
  };
  return html`<form onSubmit=${submit}>
    <ul class="list">${of.map((v) => html`<li key=${v.id}>${v.name}<span class="sub">${v.state}; ${count(Math.max(0, v.progress.planned.entries - settled(v.progress, "entries") - v.progress.failed.entries))} entries left</span></li>`)}</ul>
    <label class="field"><span>Reason (kept in the log)</span><input value=${reason} onInput=${(e) => setReason(e.target.value)} placeholder="optional" /></label>
    <footer><button type="button" onClick=${onClose}>Leave them</button><button class="main" disabled=${busy || !usable()}>${type === "pause" ? "Pause" : "Resume"} all</button></footer></form>`;
}

export function Cancelling({ of, onClose }) {
  const [name, setName] = useState(""), [reason, setReason] = useState("");
  const sure = of.operation !== "move" || name === of.name;
  const submit = async (e) => { e.preventDefault(); if (sure && await apply(of, { type: "cancel" }, { reason })) onClose(); };
  return html`<form onSubmit=${submit}>
    <p>${count(of.progress.done.entries)} entries (${bytes(of.progress.done.bytes)}) stay at ${of.destination}. No partial file is left. This cannot be taken back.</p>
    ${of.operation === "move" && html`<label class="field"><span>It is a move: its files are in two places then. Type its name to cancel it.</span><input value=${name} onInput=${(e) => setName(e.target.value)} autocomplete="off" /></label>`}
    <label class="field"><span>Reason (kept in the log)</span><input value=${reason} onInput=${(e) => setReason(e.target.value)} placeholder="optional" /></label>
    <footer><button type="button" onClick=${onClose}>Keep it</button><button class="main danger" disabled=${!sure || !usable()}>Cancel the migration</button></footer></form>`;
}

const KINDS = [["throttle", "Limit speed, CPU or memory"], ["priority", "Priority"], ["reorder", "Order of tasks"], ["pause", "Pause some files"], ["skip", "Skip some files"], ["route", "Send what is left elsewhere"], ["workers", "Batch size and workers"]];
const TYPES = ["video", "image", "audio", "document", "text", "archive", "database"];
const ORDERS = [["scanned", "all: as they were met"], ["small-first", "all: small ones first"], ["large-first", "all: large ones first"], ["mixed", "all: large and small by turns"], ["inode", "all: by inode number"], ["extent", "all: by place on the disk (extent)"]];
const FOR = [["", "until I change it"], ["900", "15 minutes"], ["3600", "1 hour"], ["14400", "4 hours"], ["43200", "12 hours"], ["86400", "1 day"]];
const number = (text) => (text.trim() === "" ? undefined : Number(text));
const FIGURES = { io: "I/O limit", ops: "Operations", cpu: "CPU limit", memory: "Memory limit", workers: "Workers", batch: "Batch", larger: "Larger than", smaller: "Smaller than" };
const FIELDS_OF = { throttle: ["io", "ops", "cpu", "memory"], workers: ["workers", "batch"] };

/** What is wrong with what a form says, "" when nothing is. What is no number would travel as null, which is "no limit". */
function wrongIn(kind, f) {
  const bad = f.unlimited && kind === "throttle" ? undefined : (FIELDS_OF[kind] || ["larger", "smaller"]).find((name) => f[name]?.trim() && !IS_NUMBER.test(f[name]));
  if (bad) return `${FIGURES[bad]}: "${f[bad].trim()}" is no number, such as 50 or 0.5.`;
  return kind === "workers" && f.workers?.trim() && f.batch?.trim() ? "Workers and batch are changed one after the other: empty one of the fields." : "";
}

/** What the form says, as the action that travels; null while it says nothing yet. */
function actionOf(kind, f) {
  const selector = {};
  if (f.include?.trim()) selector.include = f.include.split("\n").map((s) => s.trim()).filter(Boolean);
  if (f.types?.length) selector.types = f.types;
  if (f.under?.trim()) selector.under = f.under.trim();
  if (number(f.larger || "") !== undefined) selector.larger_than = mebibytes(f.larger);
  if (number(f.smaller || "") !== undefined) selector.smaller_than = mebibytes(f.smaller);
  const some = Object.keys(selector).length > 0;
  if (kind === "throttle") {
    const a = { type: "throttle" };
    if (f.unlimited) return { ...a, io_bytes_per_s: null, cpu_percent: null, memory_bytes: null, io_ops_per_s: null };
    if (number(f.io || "") !== undefined) a.io_bytes_per_s = mebibytes(f.io);
    if (number(f.cpu || "") !== undefined) a.cpu_percent = number(f.cpu);
    if (number(f.memory || "") !== undefined) a.memory_bytes = mebibytes(f.memory);
    if (number(f.ops || "") !== undefined) a.io_ops_per_s = number(f.ops);
    return Object.keys(a).length > 1 ? a : null;
  }
  if (kind === "workers") {
    if (number(f.workers || "") !== undefined) return { type: "workers", count: number(f.workers) };
    return number(f.batch || "") !== undefined ? { type: "batch_size", entries: number(f.batch) } : null;
  }
  if (kind === "reorder" && f.place?.startsWith("order:")) return { type: "order", order: f.place.slice(6) };
  if (kind === "route") return f.destination?.trim() ? { type: "route", selector, destination: f.destination.trim() } : null;
  if (!some) return null;
  if (kind === "priority") return { type: "priority", selector, level: f.level || "high" };
  if (kind === "reorder") return { type: "reorder", selector, place: f.place || "first" };
  return { type: kind, selector };
}

/** Everything that can be changed, with the effect of it beforehand. */
export function Change({ of, onClose, kind: first = "throttle", form = {} }) {
  const [kind, setKind] = useState(first), [f, setForm] = useState(form), [forS, setFor] = useState(""), [reason, setReason] = useState("");
  const [effect, setEffect] = useState(NOTHING), [busy, setBusy] = useState(false), [browse, setBrowse] = useState(false);
  const set = (name) => (e) => setForm({ ...f, [name]: e.target.type === "checkbox" ? e.target.checked : e.target.value });
  const wrong = wrongIn(kind, f), action = useMemo(() => (wrong ? null : actionOf(kind, f)), [kind, f, wrong]), asked = JSON.stringify(action);
  useEffect(() => {
    if (!action) { setEffect(wrong ? { text: wrong, ok: false, notes: [] } : NOTHING); return undefined; }
    let here = true;
    setEffect({ text: "…", ok: false, notes: [] });
    const timer = setTimeout(() => intervene(of.id, action, { dry: true, forS: number(forS) ?? null }).then(
      ({ effect: e }) => here && setEffect({ ok: true, text: told(e), notes: e.notes }),
      (e) => here && setEffect({ ok: false, text: e.message, notes: e.hint ? [e.hint] : [] }),
    ), 250);
    return () => { here = false; clearTimeout(timer); };
  }, [asked, wrong, forS, of.id]);
  const submit = async (e) => {
    e.preventDefault();
    if (!action || busy) return;
    setBusy(true);
    if (await apply(of, action, { reason, forS: number(forS) ?? null })) onClose();
    setBusy(false);
  };
  const field = (name, label, unit, more) => html`<label class="line"><span>${label}</span><input value=${f[name] || ""} onInput=${set(name)} inputmode="decimal" autocomplete="off" /><span>${unit}</span>${more && html`<small class="dim">${more}</small>`}</label>`;
  const selector = html`<fieldset><legend>Which files</legend>
    <label class="field"><span>Patterns, one a line, such as *.mkv or raw/**</span><textarea rows="2" value=${f.include || ""} onInput=${set("include")}></textarea></label>
    <div class="types" role="group" aria-label="Types">${TYPES.map((t) => html`<label class="pick" key=${t}><input type="checkbox" checked=${f.types?.includes(t) ?? false} onChange=${() => setForm({ ...f, types: TYPES.filter((o) => (o === t) !== (f.types?.includes(o) ?? false)) })} /><span>${t}</span></label>`)}</div>
    <label class="field"><span>Below the directory</span><input value=${f.under || ""} onInput=${set("under")} /></label>
    ${field("larger", "Larger than", "MiB")}${field("smaller", "Smaller than", "MiB")}</fieldset>`;
  const now = of.progress.bytes_per_s === null ? "" : `now ${rate(of.progress.bytes_per_s)}`;
  return html`<form onSubmit=${submit}>
    <fieldset><legend>What to change</legend>${KINDS.map(([v, text]) => html`<label class="pick"><input type="radio" name="kind" checked=${kind === v} onChange=${() => setKind(v)} /><span>${text}</span></label>`)}</fieldset>
    ${kind === "throttle" && html`${field("io", "I/O limit", "MiB/s", now)}${field("ops", "Operations", "per second")}${field("cpu", "CPU limit", "% of one core")}${field("memory", "Memory limit", "MiB")}<label class="pick"><input type="checkbox" checked=${!!f.unlimited} onChange=${set("unlimited")} /><span>No limits</span></label>`}
    ${kind === "priority" && html`${selector}<label class="line"><span>Level</span><select value=${f.level || "high"} onChange=${set("level")}><option value="high">high</option><option value="normal">normal</option><option value="low">low</option></select></label>`}
    ${kind === "reorder" && html`<label class="line"><span>Order</span><select value=${f.place || "first"} onChange=${set("place")}><option value="first">these files first</option><option value="last">these files last</option>${ORDERS.map(([o, text]) => html`<option value=${`order:${o}`}>${text}</option>`)}</select></label>${!(f.place || "").startsWith("order:") && selector}`}
    ${(kind === "pause" || kind === "skip") && selector}
    ${kind === "route" && html`<div class="field"><label for="route-to">Directory to send it to, in place of ${of.destination}</label><span class="row"><input class="grow" id="route-to" value=${f.destination || ""} onInput=${set("destination")} autocomplete="off" spellcheck=${false} placeholder="/an/absolute/path" /><button type="button" onClick=${() => setBrowse(true)} aria-label="Browse for the directory">Browse…</button></span></div><p class="dim">What is there already stays there. Nothing picked below: all that is left.</p>${selector}`}
    ${kind === "workers" && html`${field("workers", "Workers", "", `now ${of.movers.length}`)}${field("batch", "Batch", "entries", "0: find out")}`}
    <label class="line"><span>For</span><select value=${forS} onChange=${(e) => setFor(e.target.value)}>${FOR.map(([v, t]) => html`<option value=${v}>${t}</option>`)}</select></label>
    <p class="effect" role="status" aria-live="polite"><strong>Effect</strong> ${effect.text}${effect.notes.map((note) => html`<span class="sub" key=${note}>${note}</span>`)}</p>
    <label class="field"><span>Reason (kept in the log)</span><input value=${reason} onInput=${(e) => setReason(e.target.value)} placeholder="optional" /></label>
    <footer><button type="button" onClick=${onClose}>Cancel</button><button class="main" disabled=${!effect.ok || busy || !usable()}>Apply</button></footer></form>
    ${browse && html`<${Browse} from=${f.destination || of.destination} onClose=${() => setBrowse(false)} onPick=${(path) => { setForm({ ...f, destination: path }); setBrowse(false); }} />`}`;
}

const NOTHING = { text: "Nothing chosen yet.", ok: false, notes: [] };
/** An effect in a sentence, but its notes. */
function told(e) {
  const parts = [];
  if (e.entries !== null) parts.push(`${count(e.entries)} entries, ${bytes(e.bytes)}`);
  if (e.before || e.after) parts.push([e.before, e.after].filter(Boolean).join(" → "));
  if (e.eta_after_s !== null) parts.push(`done in ${e.eta_before_s === null ? DASH : duration(e.eta_before_s)} → ${duration(e.eta_after_s)}`);
  else if (e.eta_reason) parts.push(e.eta_reason);
  return parts.join("; ");
}
