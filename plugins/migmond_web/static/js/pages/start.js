/** Starting a migration: from where, to where, how; what the preflight says; then go. */
import { html, useState } from "../lib.js";
import { post } from "../api.js";
import { may, usable } from "../store.js";
import { Badge, Failure, Loading, Panel, Table, Tile } from "../parts.js";
import Browse from "../browse.js";
import { bytes, count, DASH, duration, mebibytes, NUMBER } from "../format.js";
import { go } from "../main.js";

const KIND = { ok: "completed", warning: "warning", blocker: "critical" };
const FIRST = { source: "", destination: "", name: "", operation: "copy", conflict: "fail", verify: "hash", io: "", workers: "" };

export default function Start() {
  const [f, setForm] = useState(FIRST), [verdict, setVerdict] = useState(null), [error, setError] = useState(null), [busy, setBusy] = useState(""), [browse, setBrowse] = useState("");
  const set = (name) => (e) => { setForm({ ...f, [name]: e.target.value }); setVerdict(null); };
  const plan = () => ({
    sources: [{ path: f.source.trim() }], destination: f.destination.trim(), operation: f.operation, conflict: f.conflict, verify: f.verify,
    ...(f.io.trim() ? { limits: { io_bytes_per_s: mebibytes(f.io) } } : {}), ...(f.workers.trim() ? { workers: Number(f.workers) } : {}),
  });
  const run = async (what, act) => { setBusy(what); setError(null); try { await act(); } catch (e) { setError(e); } setBusy(""); };
  const check = (e) => { e.preventDefault(); run("check", async () => setVerdict(await post("/plans/check", { plan: plan() }))); };
  const start = () => run("start", async () => { const view = await post("/migrations", { plan: plan(), name: f.name.trim() }, { "Idempotency-Key": crypto.getRandomValues(new Uint32Array(4)).join("-") }); go(`/migrations/${view.id}`); });
  const path = (name, label) => html`<div class="field"><label for=${`start-${name}`}>${label}</label><span class="row"><input class="grow" id=${`start-${name}`} value=${f[name]} onInput=${set(name)} required autocomplete="off" spellcheck=${false} placeholder="/an/absolute/path" /><button type="button" onClick=${() => setBrowse(name)} aria-label=${`Browse for the ${name}`}>Browse…</button></span></div>`;
  const choose = (name, label, options) => html`<label class="field"><span>${label}</span><select value=${f[name]} onChange=${set(name)}>${options.map(([v, t]) => html`<option value=${v}>${t}</option>`)}</select></label>`;
  return html`<h1>Start a migration</h1>${error && html`<${Failure} error=${error} />`}
    <${Panel} title="Plan"><form class="in" onSubmit=${check}>
      ${path("source", "From")}${path("destination", "To (SRC/x becomes DST/x; it is made when missing)")}
      <div class="two"><div>${choose("operation", "Operation", [["copy", "copy"], ["move", "move: sources are deleted once their copies are durable"]])}${choose("conflict", "When the name is taken by something else", [["fail", "that entry fails"], ["skip", "skip it"], ["newer", "replace it if the source is newer"], ["rename", "take a free name"], ["replace-with-backup", "replace it, keep a backup"]])}</div>
      <div>${choose("verify", "Verification", [["hash", "hash while copying"], ["read-back", "read the target back, past the cache"], ["none", "none"]])}<label class="field"><span>I/O limit (MiB/s, empty for none)</span><input value=${f.io} onInput=${set("io")} inputmode="decimal" pattern=${NUMBER} title="A number, such as 50 or 0.5" /></label></div></div>
      <div class="two"><label class="field"><span>Name (optional)</span><input value=${f.name} onInput=${set("name")} /></label><label class="field"><span>Movers (empty: one per core)</span><input value=${f.workers} onInput=${set("workers")} inputmode="numeric" pattern="\\s*[0-9]{1,15}\\s*" title="A whole number" /></label></div>
      <p><button class="main" disabled=${busy !== "" || !usable()}>Check</button></p></form><//>
    ${busy === "check" && html`<${Loading} />`}
    ${verdict && html`<${Panel} title="Preflight" end=${`walked in ${duration(verdict.seconds_elapsed)}`}><div class="in">
      <div class="tiles"><${Tile} name="Verdict" value=${verdict.feasible ? "feasible" : "not feasible"} kind=${verdict.feasible ? "" : "critical"} /><${Tile} name="Files" value=${count(verdict.files)} more=${`${count(verdict.directories)} directories`} /><${Tile} name="Size" value=${bytes(verdict.bytes)} /><${Tile} name="Free there" value=${bytes(verdict.free_bytes)} /><${Tile} name="Method" value=${verdict.method} />${verdict.method !== "rename" && html`<${Tile} name="Takes about" value=${verdict.estimate_s === null ? DASH : duration(verdict.estimate_s)} more=${verdict.estimate_s === null ? verdict.estimate_reason : `${duration(verdict.estimate_low_s)} – ${duration(verdict.estimate_high_s)}`} />`}</div></div>
      <${Table} label="Findings" rows=${verdict.findings} columns=${[{ name: "", cell: (x) => html`<${Badge} kind=${KIND[x.severity]}>${x.severity}<//>` }, { name: "Finding", cls: "name", cell: (x) => html`${x.message}<span class="sub">${[x.example, x.hint].filter(Boolean).join(" · ")}</span>` }, { name: "Entries", num: true, cell: (x) => x.count ? count(x.count) : "" }]} />
      <p class="in"><button class="main" disabled=${!verdict.feasible || busy !== "" || !usable() || !may("operator")} onClick=${start}>Start it</button></p><//>`}
    ${browse && html`<${Browse} from=${f[browse] || "/"} onClose=${() => setBrowse("")} onPick=${(p) => { setForm({ ...f, [browse]: p }); setVerdict(null); setBrowse(""); }} />`}`;
}
