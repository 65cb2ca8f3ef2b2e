/** Dashboards that people make for themselves: chosen in the address, kept by the daemon, arranged by keyboard or pointer. */
import { html, useRef, useState } from "../lib.js";
import { get, put, remove } from "../api.js";
import { usable } from "../store.js";
import { Dialog, Empty, failed, Failure, Loading, save, toast, useLoaded } from "../parts.js";
import { param, turn } from "../main.js";
import { Shown } from "../panels.js";
import { labelsOf } from "../rules.js";

const KINDS = [["chart", "Chart: over time"], ["tile", "Tile: the newest value"], ["table", "Table: newest values, or live migrations"], ["timeline", "Timeline: what happened"]];
const SPANS = [["900", "15 minutes"], ["3600", "1 hour"], ["21600", "6 hours"], ["86400", "24 hours"], ["604800", "7 days"]];
const LARGEST = 1 << 20;
const moved = (list, from, to) => { const rest = list.filter((_, i) => i !== from); return [...rest.slice(0, to), list[from], ...rest.slice(to)]; };

export default function Dashboards() {
  const found = useLoaded(() => get("/dashboards"), []), [draft, setDraft] = useState(null), [dialog, setDialog] = useState(null);
  const file = useRef(null), dragged = useRef(-1);
  if (found.data === null) return html`<h1>Dashboards</h1>${found.error ? html`<${Failure} error=${found.error} again=${found.again} />` : html`<${Loading} />`}`;
  const all = found.data.dashboards.map((d) => d.dashboard), kept = all.find((d) => d.name === param("name")) || all[0], shown = draft ? draft.dashboard : kept;
  const off = !usable();
  const change = (panels) => setDraft({ ...draft, dashboard: { ...draft.dashboard, panels } });
  const keep = async (dashboard, from = "") => {
    try { await put("/dashboards", { dashboard, rename_from: from }); } catch (e) { failed(e); return; }
    toast(`${dashboard.name} is saved`);
    setDraft(null); setDialog(null); turn({ name: dashboard.name }); found.again();
  };
  const bring = async (e) => {
    const given = e.target.files[0];
    e.target.value = "";
    if (!given) return;
    try {
      if (given.size > LARGEST) throw new Error("it is too large");
      const dashboard = JSON.parse(await given.text());
      if (!dashboard || typeof dashboard.name !== "string" || !Array.isArray(dashboard.panels)) throw new Error("it is no dashboard");
      setDraft({ dashboard, from: "" });
      toast(`${dashboard.name}: look at it, then save it`);
    } catch (error) { failed({ message: `${given.name} cannot be used: ${error.message}` }); }
  };
  const drop = () => remove("/dashboards", { name: kept.name }).then(() => { toast(`${kept.name} was removed`, { text: "Undo", run: () => keep(kept) }); setDialog(null); turn({ name: null }); found.again(); }, failed);
  const panels = shown?.panels || [];
  const focus = (i, what) => requestAnimationFrame(() => { // at an end there is no going on: then on the way back
    const at = (act) => document.querySelector(`[data-panel="${i}"] ${act}:enabled`);
    (at(`[data-act="${what}"]`) || at("[data-act]"))?.focus();
  });
  const move = (i, to, what) => { change(moved(panels, i, to)); if (what) focus(to, what); };
  const wide = (i, by) => change(panels.map((p, k) => (k === i ? { ...p, width: Math.min(4, Math.max(1, (p.width ?? 2) + by)) } : p)));
  return html`<div class="row"><h1>Dashboards</h1>
    ${!draft && all.length > 0 && html`<label>Shown <select value=${kept.name} onChange=${(e) => turn({ name: e.target.value })}>${all.map((d) => html`<option value=${d.name}>${d.name}</option>`)}</select></label>`}
    ${draft && html`<label>Name <input value=${shown.name} maxlength="100" onInput=${(e) => setDraft({ ...draft, dashboard: { ...shown, name: e.target.value } })} /></label>`}
    <span class="row end">${draft ? html`<button onClick=${() => setDialog({ panel: -1 })}>Add a panel…</button><button onClick=${() => setDraft(null)}>Discard</button><button class="main" disabled=${off || !shown.name.trim()} onClick=${() => keep({ ...shown, name: shown.name.trim() }, draft.from && draft.from !== shown.name.trim() ? draft.from : "")}>Save</button>` : html`${kept && html`<button disabled=${off} onClick=${() => setDraft({ dashboard: kept, from: kept.name })}>Edit</button><button onClick=${() => save(new Blob([JSON.stringify(kept, null, 1)], { type: "application/json" }), `${kept.name}.json`)}>Export</button><button class="danger" disabled=${off} onClick=${() => setDialog({ gone: true })}>Remove…</button>`}<button disabled=${off} onClick=${() => file.current.click()}>Import…</button><button class="main" disabled=${off} onClick=${() => setDraft({ dashboard: { name: "", panels: [], version: 1 }, from: "" })}>New</button>`}</span></div>
    <input type="file" class="visually-hidden" ref=${file} accept="application/json,.json" aria-label="Dashboard to import" tabindex="-1" onChange=${bring} />
    ${!shown ? html`<${Empty}>You have made none yet. A dashboard is a grid of charts, figures, tables and timelines of your choice.<//>` : panels.length === 0 ? html`<${Empty}>It has no panels yet.<//>` : html`<div class="board">${panels.map((p, i) => html`<section class="panel w${p.width ?? 2}" key=${`${i}${p.kind}${p.title}`} data-panel=${i} aria-label=${p.title} draggable=${draft ? "true" : "false"} onDragStart=${() => { dragged.current = i; }} onDragOver=${(e) => { if (draft) e.preventDefault(); }} onDrop=${(e) => { e.preventDefault(); if (draft && dragged.current >= 0) move(dragged.current, i); dragged.current = -1; }}>
      <header><h2>${p.title}</h2>${draft && html`<span class="row end">
        <button data-act="earlier" disabled=${i === 0} onClick=${() => move(i, i - 1, "earlier")} aria-label=${`Move ${p.title} earlier`}>←</button><button data-act="later" disabled=${i === panels.length - 1} onClick=${() => move(i, i + 1, "later")} aria-label=${`Move ${p.title} later`}>→</button>
        <button disabled=${(p.width ?? 2) <= 1} onClick=${() => wide(i, -1)} aria-label=${`Make ${p.title} narrower`}>−</button><button disabled=${(p.width ?? 2) >= 4} onClick=${() => wide(i, 1)} aria-label=${`Make ${p.title} wider`}>+</button>
        <button onClick=${() => setDialog({ panel: i })} aria-label=${`Edit ${p.title}`}>Edit…</button><button class="danger" onClick=${() => change(panels.filter((_, k) => k !== i))} aria-label=${`Remove ${p.title}`}>×</button></span>`}</header>
      <${Shown} of=${p} /></section>`)}</div>`}
    ${dialog?.panel !== undefined && html`<${PanelEditor} old=${panels[dialog.panel]} onClose=${() => setDialog(null)} onDone=${(p) => { change(dialog.panel < 0 ? [...panels, p] : panels.map((q, k) => (k === dialog.panel ? p : q))); setDialog(null); }} />`}
    ${dialog?.gone && html`<${Dialog} title=${`Remove ${kept.name}?`} onClose=${() => setDialog(null)}><p>Only your dashboard is removed, nothing of what it shows.</p><footer><button onClick=${() => setDialog(null)}>Keep it</button><button class="danger" onClick=${drop}>Remove</button></footer><//>`}`;
}

const lineOf = (s) => [s.metric, ...Object.entries(s.labels || {}).map(([k, v]) => `${k}=${v}`)].join(", ");
/** One metric a line: `metric, label=value, …`; null when a line is none. */
function selectOf(text) {
  const found = text.split("\n").map((l) => l.trim()).filter(Boolean).map((l) => { const [metric, ...rest] = l.split(","); return { metric: metric.trim(), labels: labelsOf(rest.join(",")) }; });
  return found.every((s) => s.labels) ? found : null;
}
function PanelEditor({ old, onClose, onDone }) {
  const [f, setForm] = useState(old ? { ...old, span_s: String(old.span_s ?? 3600), execution: old.execution || "", lines: (old.select || []).map(lineOf).join("\n") } : { kind: "chart", title: "", span_s: "3600", execution: "", lines: "" });
  const metrics = useLoaded(() => get("/metrics"), []), select = selectOf(f.lines);
  const set = (name) => (e) => setForm({ ...f, [name]: e.target.value });
  const missing = f.kind === "chart" || f.kind === "tile" ? !select?.length : !select;
  const submit = (e) => { e.preventDefault(); if (!missing) onDone({ kind: f.kind, title: f.title.trim(), select, width: old?.width ?? (f.kind === "tile" ? 1 : 2), span_s: Number(f.span_s), execution: f.execution.trim() }); };
  return html`<${Dialog} title=${old ? `Edit ${old.title}` : "Add a panel"} onClose=${onClose}><form onSubmit=${submit}>
    <label class="field"><span>Kind</span><select value=${f.kind} onChange=${set("kind")}>${KINDS.map(([v, t]) => html`<option value=${v}>${t}</option>`)}</select></label>
    <label class="field"><span>Title</span><input value=${f.title} onInput=${set("title")} required maxlength="100" /></label>
    ${f.kind !== "timeline" && html`<label class="field"><span>Add a metric</span><select value="" onChange=${(e) => { setForm({ ...f, lines: [f.lines.trim(), e.target.value].filter(Boolean).join("\n") }); e.target.value = ""; }}><option value="">choose …</option>${(metrics.data?.metrics || []).map((m) => html`<option value=${m.name}>${m.name}</option>`)}</select></label>
    <label class="field"><span>Metrics, one a line (name, label=value, …)</span><textarea rows="3" value=${f.lines} onInput=${set("lines")} spellcheck=${false}></textarea></label>`}
    ${(f.kind === "chart" || f.kind === "timeline") && html`<label class="field"><span>Looks back</span><select value=${f.span_s} onChange=${set("span_s")}>${SPANS.map(([v, t]) => html`<option value=${v}>${t}</option>`)}</select></label>`}
    <label class="field"><span>Only this migration (id or name; empty for all)</span><input value=${f.execution} onInput=${set("execution")} autocomplete="off" /></label>
    <footer><button type="button" onClick=${onClose}>Cancel</button><button class="main" disabled=${missing || !f.title.trim()}>${old ? "Change" : "Add"}</button></footer></form><//>`;
}
