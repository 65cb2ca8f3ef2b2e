/** What is wrong, what was silenced, what has been; and the rules that say so. */
import { html, useState } from "../lib.js";
import { get, post, remove } from "../api.js";
import { alertNews, executions, may, usable } from "../store.js";
import { Ago, Badge, Choice, Dialog, Empty, failed, Loaded, Panel, Table, toast, useAnswer, useLoaded } from "../parts.js";
import { count, DASH, measure, time } from "../format.js";
import { param, turn } from "../main.js";
import { Onward } from "../paging.js";
import { Rules } from "../rules.js";

const VIEWS = [["active", "Active"], ["silenced", "Silenced"], ["history", "History"]];
const FOR = [["900", "15 minutes"], ["3600", "1 hour"], ["14400", "4 hours"], ["86400", "1 day"], ["604800", "7 days"]];
const TITLES = { active: "Active alerts", silenced: "Silenced alerts", history: "Past alerts" };
const NONE = { active: "Nothing is wrong that a rule looks at.", silenced: "No alert is silenced.", history: "No alert has been resolved yet." };

export default function Alerts() {
  const view = param("view", "active"), before = param("before"), [open, setOpen] = useState(null);
  const found = useAnswer(() => get("/alerts", { view, before, limit: 50 }), [view, before], [alertNews.value]);
  const off = !usable() || !may("operator"), done = () => { setOpen(null); found.again(); };
  return html`<div class="row"><h1>Alerts</h1><${Choice} label="Which alerts" options=${VIEWS} value=${view} onChange=${(v) => turn({ view: v === "active" ? null : v, before: null })} /></div>
    <${Troubles} />
    <${Panel} title=${TITLES[view] || "Alerts"} end=${view === "history" ? "newest first" : "worst first"}><${Loaded} of=${found}>${(d) => d.alerts.length === 0 ? html`<${Empty}>${NONE[view] || "There are none."}<//>` : html`<${Table} key=${d.of} label="Alerts" rows=${d.alerts} keyOf=${(a) => a.id} columns=${[
      { name: "Severity", cell: (a) => html`<${Badge} kind=${a.severity} />` },
      { name: "State", cell: (a) => html`<${Badge} kind=${a.state} />` },
      { name: "What", cls: "name", cell: (a) => html`${a.message}<span class="sub">${a.rule_name}${a.execution && html` · <a href=${`/migrations/${a.execution}`}>${a.execution_name || a.execution.slice(0, 6)}</a>`}${a.device && ` · ${a.device}`}</span>${a.quiet && html`<span class="sub">actions: ${a.quiet}</span>`}${a.acknowledged_at && html`<span class="sub">acknowledged by ${a.acknowledged_by} ${time(a.acknowledged_at)}${a.note && `: ${a.note}`}</span>`}${a.deliveries.filter((c) => c.error).map((c) => html`<span class="sub">${c.action} ${c.state}: ${c.error}</span>`)}` },
      { name: "Value", num: true, cell: (a) => html`${measure(a.value, a.unit)}<span class="sub">${a.operator} ${measure(a.threshold, a.unit)}</span>` },
      { name: "Since", num: true, cell: (a) => html`<${Ago} at=${a.fired_at || a.pending_at} />${a.resolved_at && html`<span class="sub">until ${time(a.resolved_at)}</span>`}` },
      ...(view === "history" ? [] : [{ name: "", cls: "acts", cell: (a) => html`${!a.acknowledged_at && a.state === "firing" && html`<button disabled=${off} onClick=${() => setOpen(["acknowledge", a])}>Acknowledge…</button> `}${view === "active" && html`<button disabled=${off} onClick=${() => setOpen(["silence", a])}>Silence…</button>`}` }]),
    ]} />${view === "history" && html`<${Onward} at=${before} next=${d.next} turn=${(cursor) => turn({ before: cursor })} />`}`}<//><//>
    ${view === "silenced" && html`<${Silences} off=${off} />`}
    <${Rules} />
    ${open?.[0] === "acknowledge" && html`<${Acknowledge} of=${open[1]} onClose=${() => setOpen(null)} onDone=${done} />`}${open?.[0] === "silence" && html`<${SilenceIt} of=${open[1]} onClose=${() => setOpen(null)} onDone=${done} />`}`;
}

/** Actions whose calls fail: whoever waits for a mail has to know. */
function Troubles() {
  const found = useLoaded(() => get("/alerts/deliveries", { limit: 1 }), [alertNews.value]);
  if (found.error) return html`<p class="note warning" role="alert">Whether actions fail is not known: ${found.error.message}.</p>`;
  const failing = (found.data?.troubles || []).filter((t) => t.failing);
  return failing.map((t) => html`<p class="note critical" role="alert" key=${t.action}>The action ${t.action} fails since ${time(t.at)}: ${t.error}${t.waiting > 0 && ` (${count(t.waiting)} calls wait)`}</p>`);
}

function Acknowledge({ of, onClose, onDone }) {
  const [note, setNote] = useState("");
  const submit = (e) => { e.preventDefault(); post(`/alerts/${encodeURIComponent(of.id)}/acknowledge`, { note }).then(() => { toast(`${of.rule_name}: acknowledged`); onDone(); }, failed); };
  return html`<${Dialog} title="Acknowledge the alert" onClose=${onClose}><form onSubmit=${submit}><p>${of.message}</p><p class="dim">Nobody is told of it again until it ends.</p>
    <label class="field"><span>Note for others</span><input value=${note} maxlength="500" onInput=${(e) => setNote(e.target.value)} placeholder="optional" /></label>
    <footer><button type="button" onClick=${onClose}>Cancel</button><button class="main">Acknowledge</button></footer></form><//>`;
}

function SilenceIt({ of, onClose, onDone }) {
  const [forS, setFor] = useState("3600"), [reason, setReason] = useState(""), [wide, setWide] = useState(false);
  const where = of.execution ? { execution: of.execution } : of.device ? { labels: { device: of.device } } : {};
  const submit = (e) => { e.preventDefault(); post("/alerts/silences", { for_s: Number(forS), rule: of.rule, reason, ...(wide ? {} : where) }).then((s) => { toast(`${of.rule_name}: silenced until ${time(s.until)}`, { text: "Undo", run: () => remove(`/alerts/silences/${encodeURIComponent(s.id)}`, {}).then(onDone, failed) }); onDone(); }, failed); };
  return html`<${Dialog} title=${`Silence ${of.rule_name}`} onClose=${onClose}><form onSubmit=${submit}><p class="dim">No actions are called meanwhile, but for the end of what was told before; the alert is still listed.</p>
    <label class="field"><span>For</span><select value=${forS} onChange=${(e) => setFor(e.target.value)}>${FOR.map(([v, t]) => html`<option value=${v}>${t}</option>`)}</select></label>
    ${Object.keys(where).length > 0 && html`<label class="field"><input type="checkbox" checked=${wide} onChange=${(e) => setWide(e.target.checked)} /> Everywhere, not only for ${of.execution_name || of.device || "this migration"}</label>`}
    <label class="field"><span>Reason</span><input value=${reason} onInput=${(e) => setReason(e.target.value)} placeholder="optional" /></label>
    <footer><button type="button" onClick=${onClose}>Cancel</button><button class="main">Silence</button></footer></form><//>`;
}

function Silences({ off }) {
  const found = useLoaded(() => get("/alerts/silences"), [alertNews.value]), rules = useLoaded(() => get("/alerts/rules"), [alertNews.value]);
  const ruleOf = (id) => rules.data?.rules.find((r) => r.id === id)?.rule.name || id;
  const end = (s) => remove(`/alerts/silences/${encodeURIComponent(s.id)}`, {}).then(() => { toast("The silence has ended"); alertNews.value += 1; }, failed);
  return html`<${Panel} title="Silences"><${Loaded} of=${found}>${(d) => d.silences.length === 0 ? html`<${Empty}>None is in force.<//>` : html`<${Table} label="Silences" rows=${d.silences} keyOf=${(s) => s.id} columns=${[
    { name: "What", cls: "name", cell: (s) => [s.rule ? ruleOf(s.rule) : "all rules", s.execution && `migration ${executions.value.get(s.execution)?.name || s.execution.slice(0, 6)}`, ...Object.entries(s.labels).map(([k, v]) => `${k}=${v}`)].filter(Boolean).join(", ") },
    { name: "By", cell: (s) => s.author }, { name: "Reason", cls: "name", cell: (s) => s.reason || DASH }, { name: "Until", num: true, cell: (s) => time(s.until) },
    { name: "", cls: "acts", cell: (s) => html`<button disabled=${off} onClick=${() => end(s)}>End</button>` },
  ]} />`}<//><//>`;
}
