/** The curve that a rule was tried on. */
import { html, useMemo } from "./lib.js";
import { post } from "./api.js";
import { Loading, useLoaded } from "./parts.js";
import { Chart } from "./chart.js";
import { curves } from "./series.js";

const MOST_DRAWN = 8;

/** The metric over the time of the test, with a mark where each episode began. */
export default function Drawn({ condition: c, test }) {
  const found = useLoaded(() => post("/history", { select: [{ metric: c.metric, labels: c.labels }], start: test.start, end: test.end, points: 400 }), [c.metric, JSON.stringify(c.labels), test.end]);
  const drawn = useMemo(() => found.data && curves({ ...found.data, series: found.data.series.slice(0, MOST_DRAWN) }, (s) => Object.values(s.labels).join(" ").slice(0, 40) || "measured"), [found.data]);
  const marks = useMemo(() => test.episodes.map((x) => ({ at: new Date(x.fired_at).getTime() / 1000, text: "fired", kind: "alert" })), [test]);
  if (found.error) return html`<p class="dim">There is no curve of it: ${found.error.message}.</p>`;
  if (!drawn) return html`<${Loading} />`;
  return html`<${Chart} title=${c.metric} height=${150} xs=${drawn.xs} series=${drawn.series} marks=${marks} />`;
}
