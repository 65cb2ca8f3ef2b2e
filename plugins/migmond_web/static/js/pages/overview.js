/** What needs attention, what runs, how the machine is. */
import { html, useEffect, useMemo, useState } from "../lib.js";
import { get, post } from "../api.js";
import { alertNews, asOf, connection, executions, may, usable } from "../store.js";
import { Ago, Badge, Bar, Empty, every, Failure, failed, later, Left, Loading, Named, Panel, shared, Table, Tile, Ways } from "../parts.js";
import { bytes, count, DASH, duration, measure, percent, rate, ratio, settled, waysOf } from "../format.js";
import { ahead, canBe, Controls, Several } from "../controls.js";

const LIVE = ["created", "waiting", "running", "paused", "draining", "drained", "cancelling"];
const WORST = ["failed", "paused", "cancelling", "draining", "drained", "running", "waiting", "created"];
const LOOK_MS = 2000;
const SystemCharts = later("System", () => import("../system.js"));

const PER_SECOND = { read: "disk_read_bytes", written: "disk_written_bytes" };
const seconds = (at) => new Date(at).getTime() / 1000;
/** Rates of the machine's disks between two looks, null where it is not known; those of before when nothing is newer. */
function ratesOf(before, system) {
  if (!before || !system || system.as_of === before.as_of) return null;
  const took = seconds(system.as_of) - seconds(before.as_of), known = (v) => v !== null && v !== undefined;
  return Object.fromEntries(Object.entries(PER_SECOND).map(([name, of]) => [name, took > 0 && known(system[of]) && known(before[of]) ? Math.max(0, (system[of] - before[of]) / took) : null]));
}

/** What is behind the page, and the machine: two looks make rates. An alert makes it look at once. */
function useMachine() {
  const [state, set] = useState({ data: null, error: null, rates: {} }), [asked, again] = useState(0), news = alertNews.value;
  const came = (found) => set((old) => {
    const rates = ratesOf(old.data?.system, found.system), data = shared(old.data, found);
    return data === old.data && !old.error ? old : { data, error: null, rates: rates || old.rates };
  });
  useEffect(() => {
    let here = true;
    const stop = every(LOOK_MS, () => get("/dashboard", { executions: false }).then((found) => here && came(found), (error) => here && set((old) => ({ ...old, error }))));
    return () => { here = false; stop(); };
  }, [asked, news]);
  return { ...state, again: () => again((n) => n + 1) };
}

const Progress = ({ of }) => html`<span class="wide"><${Bar} value=${of.percent_done} label=${`done: ${percent(of.percent_done)}`} /><span class="sub">${of.percent_done === null ? "scanning" : percent(of.percent_done)} · ${bytes(settled(of, "bytes"))} of ${bytes(of.planned.bytes)}${of.growing ? " so far" : ""}</span></span>`;

function Attention({ alerts, again }) {
  const firing = (alerts?.alerts || []).filter((a) => a.state === "firing" && !a.acknowledged_at);
  if (!firing.length) return null;
  const acknowledge = (a) => post(`/alerts/${encodeURIComponent(a.id)}/acknowledge`, {}).then(again, failed);
  return html`<${Panel} title="Needs attention"><${Table} label="Alerts" keyOf=${(a) => a.id} rows=${firing} also=${() => ""} columns=${[
    { name: "Severity", by: (a) => a.severity, cell: (a) => html`<${Badge} kind=${a.severity} />` },
    { name: "What", cls: "name", cell: (a) => html`${a.message}<span class="sub">fired <${Ago} at=${a.fired_at} />${a.quiet && ` · actions: ${a.quiet}`}</span>` },
    { name: "", cls: "acts", cell: (a) => html`<button disabled=${!usable() || !may("operator")} onClick=${() => acknowledge(a)} aria-label=${`Acknowledge ${a.rule_name}`}>Acknowledge</button>` },
  ]} /><//>`;
}

/** Pause or resume what is picked, all with one reason. */
function Bulk({ picked, clear }) {
  const [open, setOpen] = useState("");
  useEffect(ahead, []);
  const of = (type) => picked.filter((v) => canBe(type, v));
  const button = (type, text) => html`<button disabled=${!usable() || of(type).length === 0} onClick=${() => setOpen(type)}>${text}</button>`;
  return html`<span class="row" role="group" aria-label="What is picked"><span>${picked.length} picked</span>${button("pause", "Pause…")}${button("resume", "Resume…")}<button class="plain" onClick=${clear}>Clear</button></span>
    ${open && html`<${Several} of=${of(open)} type=${open} onClose=${() => { setOpen(""); clear(); }} />`}`;
}

export default function Overview() {
  const [picks, setPicks] = useState([]);
  const toggle = (id) => setPicks((old) => (old.includes(id) ? old.filter((p) => p !== id) : [...old, id]));
  const machine = useMachine(), views = [...executions.value.values()];
  const live = views.filter((v) => LIVE.includes(v.state)).sort((a, b) => WORST.indexOf(a.state) - WORST.indexOf(b.state) || b.progress.failed.entries - a.progress.failed.entries || (a.name < b.name ? -1 : 1));
  const ended = views.filter((v) => !LIVE.includes(v.state)).sort((a, b) => ((a.finished_at || "") < (b.finished_at || "") ? 1 : -1)).slice(0, 8);
  const first = asOf.value !== null || connection.value.state === "lost"; // figures come before pictures
  const charts = useMemo(() => first && html`<${SystemCharts} />`, [first]); // they look for themselves: nothing here has them drawn anew
  const system = machine.data?.system, scores = machine.data?.scores || {}, picked = live.filter((v) => picks.includes(v.id)), steers = may("operator");
  return html`<h1>Overview</h1>
    ${machine.error && html`<${Failure} error=${machine.error} />`}
    <${Attention} alerts=${machine.data?.alerts} again=${machine.again} />
    <${Panel} title=${`Active migrations${asOf.value === null ? "" : ` (${live.length})`}`} end=${picked.length ? html`<${Bulk} picked=${picked} clear=${() => setPicks([])} />` : "worst first"}>
      ${asOf.value === null ? (first ? html`<${Empty}>What runs is not known.<//>` : html`<${Loading} />`) : live.length === 0 ? html`<${Empty}>Nothing runs. <a href="/start">Start a migration</a>, or <code>migmon run SRC DST</code> in a terminal.<//>` : html`<${Table} label="Active migrations" keyOf=${(v) => v.id} rows=${live} also=${(v) => `${picks.includes(v.id)} ${scores[v.id]} ${steers}`} columns=${[
        ...(steers ? [{ name: "Pick", hidden: true, cls: "pick", by: (v) => picks.includes(v.id), cell: (v) => html`<input type="checkbox" aria-label=${`Pick ${v.name}`} checked=${picks.includes(v.id)} onChange=${() => toggle(v.id)} />` }] : []),
        { name: "State", by: (v) => v.state, cell: (v) => html`<${Badge} kind=${v.state} />` },
        { name: "Migration", cls: "name main", by: waysOf, cell: (v) => html`<${Named} of=${v} /><${Ways} of=${v} />` },
        { name: "Progress", cls: "full", cell: (v) => html`<${Progress} of=${v.progress} />` },
        { name: "Rate", num: true, cell: (v) => rate(v.progress.bytes_per_s) },
        { name: "ETA (80 %)", num: true, cls: "eta", cell: (v) => html`<${Left} of=${v.progress} />` },
        { name: "Entries", num: true, cell: (v) => html`${count(settled(v.progress, "entries"))}<span class="sub">of ${count(v.progress.planned.entries)}</span>` },
        { name: "Errors", num: true, cell: (v) => count(v.progress.failed.entries) },
        { name: "Score", num: true, cell: (v) => scores[v.id] === undefined ? DASH : Math.round(100 * scores[v.id]) },
        { name: "Why", cls: "name", cell: (v) => v.why || DASH },
        { name: "", cls: "acts", by: (v) => v.state, cell: (v) => html`<${Controls} of=${v} />` },
      ]} />`}<//>
    ${system === null ? html`<p class="note">Nothing is known of the machine: no collector runs.</p>` : system === undefined ? html`<${Loading} />` : html`<div class="tiles">
      <${Tile} name="Disk throughput" value=${rate(machine.rates.written)} more=${`read ${rate(machine.rates.read)}`} />
      <${Tile} name="Busiest disk" value=${system.busiest_disk ? ratio(system.busiest_disk.value) : DASH} more=${system.busiest_disk?.of} kind=${system.busiest_disk?.value > 0.85 ? "warning" : ""} />
      <${Tile} name="CPU" value=${ratio(system.cpu_ratio)} />
      <${Tile} name="Memory" value=${bytes(system.memory_used_bytes)} more=${system.memory_size_bytes ? `of ${bytes(system.memory_size_bytes)}` : ""} />
      <${Tile} name="Hottest disk" value=${system.hottest_disk ? measure(system.hottest_disk.value, "celsius") : DASH} more=${system.hottest_disk?.of || "no disk tells"} />
      <${Tile} name="Least free space" value=${system.least_available ? bytes(system.least_available.value) : DASH} more=${system.least_available?.of} /></div>`}
    ${charts}
    ${ended.length > 0 && html`<${Panel} title="Ended lately"><${Table} label="Ended lately" keyOf=${(v) => v.id} rows=${ended} also=${() => ""} columns=${[
      { name: "State", cell: (v) => html`<${Badge} kind=${v.state} />` },
      { name: "Migration", cls: "name", cell: (v) => html`<${Named} of=${v} /><${Ways} of=${v} />` },
      { name: "Moved", num: true, cell: (v) => html`${bytes(v.progress.done.bytes)}<span class="sub">${count(v.progress.done.entries)} entries</span>` },
      { name: "Errors", num: true, cell: (v) => count(v.progress.failed.entries) },
      { name: "Took", num: true, cell: (v) => duration(v.progress.seconds_elapsed) },
      { name: "Ended", num: true, cell: (v) => html`<${Ago} at=${v.finished_at} />` },
    ]} /><//>`}`;
}
