/** Rules of alerts: the list, and the editor that says beforehand how often a rule would have fired. */
import { html, useEffect, useState } from "./lib.js";
import { get, post, put, remove } from "./api.js";
import { alertNews, may, usable } from "./store.js";
import { Badge, Dialog, Empty, Failure, failed, later, Loaded, Loading, Panel, Table, toast, useLoaded } from "./parts.js";
import { count, DASH, duration, measure, NUMBER, parsed, time } from "./format.js";
import { param, turn } from "./main.js";

const SEVERITIES = ["info", "warning", "error", "critical"], AGGREGATIONS = ["last", "avg", "min", "max", "sum", "rate"], OPERATORS = [">", ">=", "<", "<=", "==", "!="];
const WEEK_S = 604800;
const Drawn = later("", () => import("./tried.js"));
const NAME = "[A-Za-z][A-Za-z0-9._\\-]{0,63}";
const SECONDS = { size: 5, inputmode: "numeric", required: true, pattern: NUMBER, title: "A number of seconds" };
const FIRST = { name: "", description: "", metric: "", operator: "<", threshold: "", aggregation: "avg", window: "60", held: "300", on: "", severity: "warning", actions: "", cooldown: "300" };

/** `device=sda, direction=read` as labels; null when it is not such pairs. */
export function labelsOf(text) {
  const pairs = text.split(",").map((p) => p.trim()).filter(Boolean).map((p) => [p.slice(0, p.indexOf("=")).trim(), p.slice(p.indexOf("=") + 1).trim(), p.includes("=")]);
  return pairs.every(([k, , is]) => is && k) ? Object.fromEntries(pairs) : null;
}
/** Names of metrics are long: they break behind their parts, not in the midst of a word. */
const breakable = (text) => text.split("_").flatMap((part, i) => (i ? ["_", html`<wbr />`, part] : [part]));
/** The form of a rule that there is. */
function formOf({ rule: r }) {
  const c = r.condition;
  return { name: r.name, description: r.description || "", metric: c.metric, operator: c.operator, threshold: String(c.threshold), aggregation: c.aggregation || "last", window: String(c.window_s ?? 60), held: String(c.for_s ?? 0), on: Object.entries(c.labels || {}).map(([k, v]) => `${k}=${v}`).join(", "), severity: r.severity || "warning", actions: (r.actions || []).map((a) => a.name).join(", "), cooldown: String(r.cooldown_s ?? 300) };
}
/** What the form says, as the daemon takes it; null while it is not complete. What the form has no field for stays as in `old`. */
export function specOf(f, old) {
  const threshold = parsed(f.threshold), labels = labelsOf(f.on), before = old?.rule || {};
  if (!f.metric.trim() || Number.isNaN(threshold) || labels === null) return null;
  const actions = f.actions.split(",").map((n) => n.trim()).filter(Boolean).map((name) => (before.actions || []).find((a) => a.name === name) || { name });
  return { ...before, name: f.name.trim(), description: f.description.trim(), severity: f.severity, cooldown_s: Number(f.cooldown), actions, condition: { ...(before.condition || {}), metric: f.metric.trim(), operator: f.operator, threshold, aggregation: f.aggregation, window_s: Number(f.window), for_s: Number(f.held), labels } };
}

/** Defaults are left out on the way: what is not said of a rule is its default. */
const enabled = (r) => r.rule.enabled !== false;

export function Rules() {
  const found = useLoaded(() => get("/alerts/rules"), [alertNews.value]), open = param("rule"), [gone, setGone] = useState(null);
  const off = !usable() || !may("operator");
  const turnOn = (r) => post(`/alerts/rules/${encodeURIComponent(r.id)}/enable`, { enabled: !enabled(r) }).then(() => { toast(`${r.rule.name} is ${enabled(r) ? "disabled" : "enabled"}`); found.again(); }, failed);
  const close = () => turn({ rule: null }), saved = () => { close(); found.again(); };
  const drop = () => remove(`/alerts/rules/${encodeURIComponent(gone.id)}`, {}).then(() => { toast(`${gone.rule.name} was removed`); setGone(null); found.again(); }, failed);
  return html`<${Panel} title="Rules" end=${html`<button class="main" disabled=${off} onClick=${() => turn({ rule: "new" })}>New rule…</button>`}><${Loaded} of=${found}>${(d) => html`${d.rules.length === 0 ? html`<${Empty}>There are no rules.<//>` : html`<${Table} label="Rules" rows=${d.rules} keyOf=${(r) => r.id} columns=${[
    { name: "Severity", cell: (r) => html`<${Badge} kind=${r.rule.severity || "warning"} />` },
    { name: "Rule", cls: "name", cell: (r) => html`${r.rule.name}<span class="sub">${r.rule.description}</span>` },
    { name: "When", cls: "name", cell: (r) => html`<code>${breakable(r.expression)}</code>` },
    { name: "Actions", cell: (r) => (r.rule.actions || []).map((a) => a.name).join(", ") || DASH },
    { name: "Firing", num: true, cell: (r) => count(r.firing) },
    { name: "From", cls: "name", cell: (r) => html`${r.builtin ? "built in" : "people"}${r.changed ? ", edited" : ""}${!enabled(r) && html`<span class="sub">disabled</span>`}` },
    { name: "", cls: "acts", cell: (r) => html`<button disabled=${off} onClick=${() => turnOn(r)} aria-label=${`${enabled(r) ? "Disable" : "Enable"} ${r.rule.name}`}>${enabled(r) ? "Disable" : "Enable"}</button> <button disabled=${off} onClick=${() => turn({ rule: r.id })} aria-label=${`Edit ${r.rule.name}`}>Edit…</button> ${!r.builtin && html`<button class="danger" disabled=${off} onClick=${() => setGone(r)} aria-label=${`Remove ${r.rule.name}`}>Remove…</button>`}` },
  ]} />`}${open && (open === "new" || d.rules.some((r) => r.id === open)) && html`<${Editor} key=${open} old=${d.rules.find((r) => r.id === open)} rules=${d.rules} onClose=${close} onSaved=${saved} />`}`}<//>
    ${gone && html`<${Dialog} title=${`Remove ${gone.rule.name}?`} onClose=${() => setGone(null)}><p>Its alerts are resolved; those of the past stay on record.</p><footer><button onClick=${() => setGone(null)}>Keep it</button><button class="danger" onClick=${drop}>Remove</button></footer><//>`}<//>`;
}

function Editor({ old, rules, onClose, onSaved }) {
  const [f, setForm] = useState(old ? formOf(old) : FIRST), [error, setError] = useState(null);
  const metrics = useLoaded(() => get("/metrics"), []), spec = specOf(f, old), asked = JSON.stringify(spec && { ...spec, name: "tried" });
  const set = (name) => (e) => setForm({ ...f, [name]: e.target.value });
  const names = [...new Set([...(metrics.data?.metrics || []).map((m) => m.name), ...rules.map((r) => r.rule.condition.metric)])].sort();
  const wrong = f.threshold.trim() && Number.isNaN(parsed(f.threshold)) ? `"${f.threshold.trim()}" is no threshold: write one such as 20 MiB/s, 85 % or 0.5.` : labelsOf(f.on) === null ? `"${f.on.trim()}" are no labels: write them such as device=sda, direction=read.` : "";
  const help = metrics.data?.metrics.find((m) => m.name === f.metric)?.help;
  const save = (e) => { e.preventDefault(); if (!spec || !usable()) return; setError(null); (old ? put(`/alerts/rules/${encodeURIComponent(old.id)}`, { rule: spec }) : post("/alerts/rules", { rule: spec })).then(() => { toast(`${spec.name} is saved`); onSaved(); }, setError); };
  const pick = (name, label, options) => html`<select aria-label=${label} value=${f[name]} onChange=${set(name)}>${options.map((o) => html`<option value=${o}>${o}</option>`)}</select>`;
  const write = (name, label, more) => html`<input aria-label=${label} value=${f[name]} onInput=${set(name)} autocomplete="off" ...${more} />`;
  return html`<${Dialog} title=${old ? `Edit ${old.rule.name}` : "New rule"} onClose=${onClose}><form onSubmit=${save}>
    ${error && html`<${Failure} error=${error} />`}
    <label class="field"><span>Name</span><input value=${f.name} onInput=${set("name")} required pattern=${NAME} title="A letter, then letters, digits, dots, dashes and underscores" spellcheck=${false} autocomplete="off" /></label>
    <fieldset><legend>When</legend><div class="row">${pick("aggregation", "Aggregation", AGGREGATIONS)}<span>of</span>${write("metric", "Metric", { list: "rule-metrics", class: "grow", required: true, spellcheck: false })}<datalist id="rule-metrics">${names.map((n) => html`<option value=${n}></option>`)}</datalist></div>
      ${help && html`<p class="dim">${help}</p>`}
      <div class="row"><span>is</span>${pick("operator", "Comparison", OPERATORS)}${write("threshold", "Threshold", { size: 10, required: true, placeholder: "20 MiB/s" })}<label>for ${write("held", "For seconds", SECONDS)} s</label><label>looked at over ${write("window", "Window seconds", SECONDS)} s</label></div>
      <label class="field"><span>On (label=value, …; empty for all)</span><input value=${f.on} onInput=${set("on")} placeholder="all" spellcheck=${false} autocomplete="off" /></label></fieldset>
    <div class="row"><label>Severity ${pick("severity", "Severity", SEVERITIES)}</label><label>Cooldown ${write("cooldown", "Cooldown seconds", SECONDS)} s</label></div>
    <label class="field"><span>Actions (names, by comma; empty for none)</span><input value=${f.actions} onInput=${set("actions")} autocomplete="off" spellcheck=${false} /></label>
    <label class="field"><span>What is wrong then, and what to do</span><input value=${f.description} onInput=${set("description")} /></label>
    <${BackTest} spec=${spec} asked=${asked} wrong=${wrong} />
    <footer><button type="button" onClick=${onClose}>Cancel</button><button class="main" disabled=${!spec || !f.name.trim() || !usable()}>Save</button></footer></form><//>`;
}

/** How the rule would have done, asked once the form rests. */
function BackTest({ spec, asked, wrong }) {
  const [rested, setRested] = useState("null");
  useEffect(() => { const t = setTimeout(() => setRested(asked), 500); return () => clearTimeout(t); }, [asked]);
  const found = useLoaded(async () => (rested === "null" ? null : { of: rested, test: await post("/alerts/rules/test", { spec: JSON.parse(rested), span_s: WEEK_S }) }), [rested]);
  if (!spec) return html`<div class="effect" role="status">${wrong || "Once it has a metric and a threshold, it is tried on what is on record."}</div>`;
  if (found.error && !found.loading && rested === asked) return html`<div class="effect" role="status">It could not be tried: ${found.error.message}${found.error.hint && html`<span class="sub">${found.error.hint}</span>`}</div>`;
  if (found.data?.of !== asked) return html`<div class="effect"><${Loading} /></div>`;
  const t = found.data.test;
  return html`<div class="effect" role="status"><strong>Would have fired ${count(t.times)}× in the last 7 days</strong>${t.times > 0 && `, for ${duration(t.firing_s)} in all`}
    <span class="sub">${t.series === 0 ? "Nothing of this metric is on record." : `${count(t.series)} series, ${duration(t.covered_s)} on record, looked at every ${duration(t.step_s)}`}</span></div>
    ${t.episodes.length > 0 && html`<${Table} label="Would have fired" rows=${[...t.episodes].reverse().slice(0, 20)} columns=${[
      { name: "When", cell: (x) => time(x.fired_at) }, { name: "For", num: true, cell: (x) => (x.resolved_at === null ? "still" : duration(x.seconds)) }, { name: "Worst", num: true, cell: (x) => measure(x.worst, t.unit) },
      { name: "On", cls: "name", cell: (x) => Object.entries(x.labels).map(([k, v]) => `${k}=${v}`).join(", ") || DASH },
    ]} />`}
    ${t.series > 0 && html`<${Drawn} condition=${JSON.parse(asked).condition} test=${t} />`}`;
}
