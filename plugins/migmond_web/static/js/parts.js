/** Pieces that every page uses. */
import { html, signal, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./lib.js";
import { connection, now } from "./store.js";
import { age, ago, DASH, duration, tail, waysOf } from "./format.js";

const KIND = {
  running: "good", completed: "good", firing: "critical", failed: "critical", critical: "critical", error: "critical",
  completed_with_errors: "warning", warning: "warning", draining: "warning", cancelling: "warning", pending: "warning",
};
export const Badge = ({ kind, children }) => html`<span class="badge ${KIND[kind] || ""}">${children ?? String(kind).replaceAll("_", " ")}</span>`;
export const Bar = ({ value, label, tall }) => html`<progress class=${tall ? "tall" : ""} max="100" value=${value ?? 0} aria-label=${label}></progress>`;
export const Panel = ({ title, end, children, id }) => html`<section class="panel" aria-label=${title} id=${id}><header><h2>${title}</h2>${end && html`<span class="end">${end}</span>`}</header>${children}</section>`;
export const Tile = ({ name, value, more, kind }) => html`<div class="tile ${kind || ""}"><div class="name">${name}</div><div class="value">${value}</div><div class="more">${more || "\u00a0"}</div></div>`;
export const Ago = ({ at }) => ago(at, now.value);
/** A migration in a table: no more than two lines of its name, and the ends of its paths; titles say all of them. */
export const Named = ({ of }) => html`<a class="clamp" href=${`/migrations/${of.id}`} title=${of.name}>${of.name}</a>`;
export const Ways = ({ of }) => html`<span class="sub" title=${waysOf(of)}>${waysOf(of, (path) => tail(path))}</span>`;
/** How long a migration takes yet, or why nobody knows. */
export const Left = ({ of }) => of.seconds_remaining === null ? html`${DASH}<span class="sub">${of.eta_reason}</span>` : html`${duration(of.seconds_remaining)}<span class="sub">${of.eta_low_s === null ? "" : `${duration(of.eta_low_s)} ${DASH} ${duration(of.eta_high_s)}`}</span>`;
export const Empty = ({ children }) => html`<p class="empty">${children}</p>`;
export const Loading = () => html`<p class="empty" role="status">Loading …</p>`;
export const Failure = ({ error, again }) => html`<div class="note critical" role="alert">${error.message}${error.hint && html`<span class="sub">${error.hint}</span>`} ${again && html`<button onClick=${again}>Try again</button>`}</div>`;

/** Rows as they are to be shown: while the pointer or the focus is among them they keep their places, new ones come last, and those that went stay. */
function useSteady(rows, keyOf) {
  const [held, setHeld] = useState(false), kept = useRef(rows), box = useRef(null);
  useEffect(() => { // a row that goes while the pointer is on it may take the word of its leaving along
    if (!held) return undefined;
    const moved = (e) => { if (!box.current?.contains(e.target) && !box.current?.contains(document.activeElement)) setHeld(false); };
    document.addEventListener("pointermove", moved);
    return () => document.removeEventListener("pointermove", moved);
  }, [held]);
  const there = new Map(keyOf ? rows.map((row) => [keyOf(row), row]) : []);
  if (!held || !keyOf) kept.current = rows;
  else {
    const before = new Set(kept.current.map(keyOf));
    kept.current = [...kept.current.map((row) => there.get(keyOf(row)) ?? row), ...rows.filter((row) => !before.has(keyOf(row)))];
  }
  const hold = { ref: box, onPointerEnter: () => setHeld(true), onPointerLeave: () => setHeld(false), onFocusIn: () => setHeld(true), onFocusOut: (e) => { if (!e.currentTarget.contains(e.relatedTarget)) setHeld(e.currentTarget.matches(":hover")); } };
  return { shown: kept.current, gone: (row) => held && !!keyOf && !there.has(keyOf(row)), hold };
}

/** `fresh`, in which every part that is as in `old` is that of `old`: what has changed is seen by identity. */
export function shared(old, fresh) {
  if (old === fresh || !old || !fresh || typeof old !== "object" || typeof fresh !== "object" || Array.isArray(old) !== Array.isArray(fresh)) return fresh;
  const names = Object.keys(fresh);
  let same = names.length === Object.keys(old).length;
  for (const name of names) {
    const part = shared(old[name], fresh[name]);
    if (part !== fresh[name]) fresh[name] = part;
    if (part !== old[name]) same = false;
  }
  return same ? old : fresh;
}

/** A row. A cell whose column says what it shows (`by`), or that is text, is drawn anew only when that is another. */
function Row({ row, gone, told }) {
  const drawn = useRef([]);
  const cells = told.columns.map((c, i) => {
    const before = drawn.current[i], of = c.by?.(row);
    if (c.by && before?.name === c.name && before.of === of) return before.cell;
    const shown = c.cell(row), text = typeof shown === "object" ? undefined : shown;
    if (text !== undefined && before?.name === c.name && before.text === text) return before.cell;
    drawn.current[i] = { name: c.name, of, text, cell: html`<td class="${c.num ? "num" : ""} ${c.cls || ""} ${text === DASH ? "unknown" : ""}" data-label=${c.name || ""}><span>${shown}</span></td>` };
    return drawn.current[i].cell;
  });
  return html`<tr inert=${gone} class=${gone ? "gone" : ""}>${cells}</tr>`;
}

/**
 * A table whose cells carry their column's name, for narrow screens. columns: [{name, num, cell(row), by(row), cls, hidden}];
 * `by`: all that a cell shows, as one value; cells that read signals themselves have none. also(row): all that the cells
 * show beside the row and signals, as one value: with it, a row that is as it was is not drawn again.
 */
export function Table({ label, columns, rows, keyOf, caption, also }) {
  const { shown, gone, hold } = useSteady(rows, keyOf);
  const told = useRef({}).current, made = useRef(new Map()), turn = useRef(0);
  told.columns = columns;
  turn.current += 1;
  const kept = new Map();
  const drawn = shown.map((row, i) => {
    const key = keyOf ? keyOf(row) : i, old = made.current.get(key), is = { row: old && also ? shared(old.row, row) : row, also: also ? also(row) : turn.current, gone: gone(row) };
    is.node = old && old.row === is.row && old.also === is.also && old.gone === is.gone ? old.node : html`<${Row} key=${key} row=${is.row} also=${is.also} gone=${is.gone} told=${told} />`;
    kept.set(key, is);
    return is.node;
  });
  made.current = kept;
  const names = columns.map((c) => `${c.name} ${c.num} ${c.hidden} ${c.cls}`).join("|");
  const head = useMemo(() => html`<thead><tr>${columns.map((c) => html`<th scope="col" class="${c.num ? "num" : ""} ${c.cls === "full" ? "full" : ""}">${c.name && !c.hidden ? c.name : html`<span class="visually-hidden">${c.name || "Actions"}</span>`}</th>`)}</tr></thead>`, [names]);
  return html`<div class="scroll" ...${hold}><table class="cards" aria-label=${label}>${caption && html`<caption class="visually-hidden">${caption}</caption>`}
    ${head}<tbody>${drawn}</tbody></table></div>`;
}

/** One of several; `options` are [value, text]. */
export const Choice = ({ label, options, value, onChange }) => html`<span class="choice" role="group" aria-label=${label}>${options.map(([v, text]) => html`<button type="button" aria-pressed=${v === value ? "true" : "false"} onClick=${() => onChange(v)}>${text}</button>`)}</span>`;

/** What `load` returns, and again whenever one of `deps` changes; the old one stays until then, and so does every part of it that is the same. `again` is always the same function. `share` false: for what is never the same. */
export function useLoaded(load, deps, { share = true } = {}) {
  const [state, set] = useState({ data: null, error: null, loading: true });
  const turn = useRef(0), asked = useRef(load);
  asked.current = load;
  const came = (found) => set((s) => {
    const data = share ? shared(s.data, found) : found;
    return data === s.data && !s.error && !s.loading ? s : { data, error: null, loading: false };
  });
  const again = useRef(() => {
    const mine = ++turn.current;
    asked.current().then((data) => mine === turn.current && came(data), (error) => mine === turn.current && set((s) => ({ ...s, error, loading: false })));
  }).current;
  useEffect(() => { again(); return () => { turn.current++; }; }, deps);
  return { ...state, again };
}

/** As useLoaded; the data say `of` which question they are the answer. A table with that as its key keeps no row of another question in its place under the pointer. */
export const useAnswer = (load, question, more = []) => useLoaded(async () => ({ of: question.join(" "), ...(await load()) }), [...question, ...more]);

/** Call `look` now, and again `ms` after it was done, for as long as the page is shown: what nobody sees costs nothing. Returns how to stop. */
export function every(ms, look) {
  let here = true, busy = false, timer = 0;
  const turn = async () => {
    timer = 0;
    if (busy || document.hidden) return;
    busy = true;
    await look();
    busy = false;
    if (here) timer = setTimeout(turn, ms);
  };
  const shown = () => { if (!document.hidden && !timer) turn(); };
  document.addEventListener("visibilitychange", shown);
  turn();
  return () => { here = false; clearTimeout(timer); document.removeEventListener("visibilitychange", shown); };
}
/** A number that rises every `ms` while the page is shown and `on`. */
export function useBeat(ms, on = true) {
  const [beat, set] = useState(0), last = useRef(Date.now());
  useEffect(() => {
    if (!on) return undefined;
    return every(ms, () => {
      if (Date.now() - last.current < 0.9 * ms) return; // it has just been drawn
      last.current = Date.now();
      set((n) => n + 1);
    });
  }, [ms, on]);
  return beat;
}
/** Whether what `ref` holds can be seen, or nearly so: then it is ready when somebody comes to it. */
export function useSeen(ref) {
  const [seen, set] = useState(true);
  useEffect(() => {
    const watch = new IntersectionObserver((found) => set(found.at(-1).isIntersecting), { rootMargin: "200px" });
    watch.observe(ref.current);
    return () => watch.disconnect();
  }, []);
  return seen;
}
/** A loaded thing in its states. */
export const Loaded = ({ of, children, empty }) => of.data !== null ? html`${of.error && html`<${Failure} error=${of.error} again=${of.again} />`}${children(of.data)}` : of.error ? html`<${Failure} error=${of.error} again=${of.again} />` : html`<${Loading} />`;

/** A component whose module is fetched when it is first shown, or asked for `ahead` of that. `title`: of the panel that is there until then, "" for none. */
export function later(title, load) {
  let found = null, asked = null;
  const fetched = () => (asked ||= load().then((m) => { found = m.default; }, (error) => { asked = null; throw error; }));
  function Later(props) {
    const there = found !== null, [, drawn] = useState(false), [error, setError] = useState(null);
    const again = () => { setError(null); fetched().then(() => drawn(true), () => setError({ message: "this part of the page could not be loaded", hint: "the gateway is away, or a newer one is there: load the page again" })); };
    useEffect(() => { if (!there) again(); }, []);
    if (there) return html`<${found} ...${props} />`;
    const meanwhile = error ? html`<${Failure} error=${error} again=${again} />` : html`<${Loading} />`;
    return title ? html`<${Panel} title=${title}>${meanwhile}<//>` : meanwhile;
  }
  Later.ahead = () => { fetched().catch(() => {}); }; // it is told when it is shown
  return Later;
}

/** A modal dialog that is there as long as it is rendered. */
export function Dialog({ title, onClose, children }) {
  const ref = useRef(null);
  useLayoutEffect(() => { // in the turn of the key that opens it: an effect comes after a frame, and the keys until then would go elsewhere
    const box = ref.current, before = document.activeElement;
    box.showModal();
    return () => {
      box.close();
      setTimeout(() => { if (document.activeElement === document.body && before.isConnected) before.focus(); }); // the browser gives it back only to what it saw last
    };
  }, []);
  return html`<dialog ref=${ref} aria-label=${title} onCancel=${(e) => { e.preventDefault(); onClose(); }}><h2>${title}</h2>${children}</dialog>`;
}

export const toasts = signal([]);
let next = 1;
/** Say something for a while; `action` is {text, run}. */
export function toast(text, action, kind = "") {
  const id = next++;
  toasts.value = [...toasts.value, { id, text, action, kind }];
  const wait = (ms) => setTimeout(() => {
    if (document.querySelector(".toasts:is(:hover, :focus-within)")) wait(1000); // somebody is about to use it
    else drop(id);
  }, ms);
  wait(action ? 20000 : 8000);
}
const drop = (id) => { toasts.value = toasts.value.filter((t) => t.id !== id); };
/** What the newest toast offers, by the key that takes things back everywhere; where somebody writes it is the field's own. */
addEventListener("keydown", (e) => {
  if (e.key !== "z" || !(e.ctrlKey || e.metaKey) || e.shiftKey || e.altKey || e.target.closest?.("input:not([type=checkbox]), textarea, select, dialog")) return;
  const newest = toasts.value.findLast((t) => t.action);
  if (!newest) return;
  e.preventDefault();
  drop(newest.id);
  newest.action.run();
});
export const Toasts = () => html`<div class="toasts" role="status" aria-live="polite">${toasts.value.map((t) => html`<div class="toast" key=${t.id}><span>${t.text}</span>${t.action && html`<button aria-keyshortcuts="Control+Z" title="Ctrl+Z" onClick=${() => { drop(t.id); t.action.run(); }}>${t.action.text}</button>`}<button aria-label="Dismiss" onClick=${() => drop(t.id)}>×</button></div>`)}</div>`;
export const failed = (error) => toast(error.hint ? `${error.message}. ${error.hint}` : error.message, null, "critical");

export function Live({ asOf }) {
  const { state, why, since } = connection.value;
  if (state === "live") return html`<span class="live" role="status">Live</span>`;
  if (state === "connecting") return html`<span class="dim" role="status">Connecting …</span>`;
  return html`<span class="live lost" role="status" title=${why}>Not live for ${age((now.value - since) / 1000)}</span>`;
}
export function Lost({ asOf }) {
  if (connection.value.state !== "lost") return null;
  const of = asOf ? `Figures are from ${ago(asOf, now.value)}. ` : "";
  const { why } = connection.value;
  return html`<div class="note warning" role="alert">${of}Migrations go on. ${why.charAt(0).toUpperCase() + why.slice(1)}.</div>`;
}

/** Let the browser keep a file. */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name.replace(/[^\w.() -]/g, "_");
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
