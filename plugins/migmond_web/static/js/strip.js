/** What a migration was busy with and what was done to it, on the time axis of the charts below. */
import { html, useEffect, useRef, useState } from "./lib.js";
import { GUTTER } from "./chart.js";
import { phaseName } from "./phases.js";
import { apart } from "./series.js";
import { time } from "./format.js";

const HIGH = 44, BAND = 18, APART = 9;

/** range: [from, to] of the axis, seconds since the epoch; marks: [{at, text, kind}] as charts have them. */
export function Strip({ phases: all, marks, range }) {
  const box = useRef(null), [width, setWidth] = useState(0);
  useEffect(() => {
    const sized = new ResizeObserver(() => box.current && setWidth(box.current.clientWidth));
    sized.observe(box.current);
    return () => sized.disconnect();
  }, []);
  const [from, to] = range, span = Math.max(1, to - from), room = Math.max(0, width - GUTTER.left - GUTTER.right);
  const x = (at) => GUTTER.left + room * Math.min(1, Math.max(0, (at - from) / span));
  const shown = all.filter((p) => p.from < to && (p.to ?? to) > from);
  const told = marks.filter((m) => m.kind !== "phase" && m.at >= from && m.at <= to);
  const label = `Timeline: ${shown.map((p) => `${phaseName(p.name)} since ${time(p.from)}`).join(", ") || "nothing in this time"}; ${told.length} interventions, alerts and errors. The table Timeline lists all.`;
  return html`<div class="strip" ref=${box}>${width > 0 && html`<svg width=${width} height=${HIGH} role="img" aria-label=${label}>
    ${shown.map((p, i) => { const left = x(p.from), wide = Math.max(2, x(p.to ?? to) - left); return html`<g key=${i}><rect class=${`phase ${p.name === "paused" ? "paused" : p.to === null ? "now" : "done"}`} x=${left} y="0" width=${wide} height=${BAND} rx="2"><title>${`${phaseName(p.name)} ${time(p.from)} – ${p.to === null ? "now" : time(p.to)}`}</title></rect>${wide > 9 * phaseName(p.name).length && html`<text x=${left + 6} y=${BAND - 5}>${phaseName(p.name)}</text>`}</g>`; })}
    ${apart(told, x, APART).map((m, i) => html`<path key=${`m${i}`} class=${`mark ${m.kind}`} d=${`M${x(m.at) - 5} ${HIGH - 8} h10 l-5 -10 z`}><title>${[m, ...m.more].map((one) => `${time(one.at)} ${one.text}`).join("\n")}</title></path>`)}
  </svg>`}</div>`;
}
