/** What was measured over the range that the address names, for the charts of a page. */
import { html, useEffect, useMemo } from "./lib.js";
import { get } from "./api.js";
import { Choice, useBeat, useLoaded } from "./parts.js";
import { param, turn } from "./main.js";

const SPANS = [["900", "15 min"], ["3600", "1 h"], ["21600", "6 h"], ["86400", "24 h"]];
const WHOLE = "run", SPAN = "900", LONGEST_S = 400 * 86400;
/** The year 9999: times beyond have no text. */
const LATEST = 253402300800;
const LOOK_MS = 2000, POINTS = 600;
/** A chart is drawn anew when so many points may have come: one alone, less than a pixel, nobody sees. */
const NEW_POINTS = 2;
const LEAST_S = 60, BEFORE_S = 5;

/** What the address says, whoever wrote it: [from, to] as seconds since the epoch or null, and how far back else. */
function rangeAsked() {
  const [from, to] = [Number(param("from")), Number(param("to"))];
  return from > 0 && to > from && to < LATEST ? [from, to] : null;
}
function spanAsked() {
  const span = Number(param("span", SPAN));
  return span >= 1 && span <= LONGEST_S ? span : Number(SPAN);
}

/** One query for a set of metrics, looked at anew every few seconds while live. `about`: only series of that migration, and only what was done to it is marked. `whole`: [from, to] of something that is over, which is shown unless the address names a range. `began`: of something that lasts, seconds since the epoch: there is nothing to show of before. `seen`: whether anybody sees it: what nobody sees is not looked at anew. */
export function useHistory(metric, { about = "", whole = null, began = null, seen = true } = {}) {
  const asked = rangeAsked(), all = whole && !asked && param("span", WHOLE) === WHOLE, span = spanAsked(), [from, to] = asked || (all ? whole : [null, null]);
  const tick = useBeat(Math.max(LOOK_MS, NEW_POINTS * (span / POINTS) * 1000), from === null && seen);
  const times = from === null ? {} : { start: new Date(from * 1000).toISOString(), end: new Date(to * 1000).toISOString() };
  const loaded = useLoaded(() => get("/history", { metric, execution: about, span: `${reach(span, began)}s`, points: POINTS, annotations: true, ...times }), [metric.join(" "), about, span, began, from, to, from === null ? tick : 0], { share: false }); // a body would cost the browser as much as drawing two charts
  const range = useMemo(() => (asked ? [from, to] : null), [from, to, !asked]);
  const onRange = (r) => turn(r ? { from: r[0].toFixed(1), to: r[1].toFixed(1) } : { from: null, to: null });
  useEffect(() => {
    if (!range) return undefined;
    const back = (e) => { if (e.key === "Escape" && !document.querySelector("dialog[open]")) onRange(null); };
    addEventListener("keydown", back);
    return () => removeEventListener("keydown", back);
  }, [range]);
  const marks = useMemo(() => (loaded.data?.annotations || []).filter((a) => !about || a.execution === about).map((a) => ({ at: a.at_s, text: a.text, kind: a.kind })), [loaded.data, about]);
  return { ...loaded, range, onRange, marks };
}
/** How far back it is looked: not to before it began, but for a little that shows where that was. */
const reach = (span, began) => (began === null ? span : Math.min(span, Math.max(LEAST_S, Math.ceil(Date.now() / 1000 - began + BEFORE_S))));
/** `whole`: there is a range of something that is over. */
export const Spans = ({ whole }) => html`<${Choice} label="Time range" options=${whole ? [[WHOLE, "Whole run"], ...SPANS] : SPANS} value=${rangeAsked() ? "" : param("span", whole ? WHOLE : SPAN)} onChange=${(v) => turn({ span: v, from: null, to: null })} />`;
export const ZoomHint = () => html`<span class="end">Zoom: drag, or + − ← → on a chart. Esc: back to live</span>`;
