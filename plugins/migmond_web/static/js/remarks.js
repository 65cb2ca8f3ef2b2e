/** What is to be said of a migration beside its figures: what a verification found, what is not as it was, what holds parts of it. */
import { html } from "./lib.js";
import { bytes, count, time } from "./format.js";

/** `1 entry`, `1,021 entries`. */
export const countOf = (value, one, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;
/** What the last verification found, in a sentence; `at`: its time as it is shown. In the words of the command line (tests/web/test_units.py compares). */
export function verified(v, at) {
  const looked = countOf(v.checked.entries, "entry", "entries");
  if (v.failure) return `verification of ${at} did not end: ${v.failure} (${looked} checked, ${countOf(v.mismatches, "difference")}${v.unreadable ? `, ${count(v.unreadable)} could not be read` : ""})`;
  if (!v.checked.entries) return `verified ${at}: nothing to look at, no entry was brought over`;
  const result = v.mismatches ? countOf(v.mismatches, "DIFFERENCE") : `all ${v.unreadable ? "others " : ""}as they were written`;
  return `verified ${at}: ${looked}, ${bytes(v.checked.bytes)} re-read, ${v.unreadable ? `${count(v.unreadable)} COULD NOT BE READ, ` : ""}${result}${v.unhashed ? ` (${count(v.unhashed)} without a hash: size and time only)` : ""}`;
}

/** [kind of note, what it says]; `rolledBack`: the rollbacks of it. */
function remarks(of, rolledBack) {
  const { progress: p, verification: v } = of, found = [];
  if (v) found.push([v.failure || v.mismatches || v.unreadable ? "critical" : "good", html`${verified(v, time(v.at))}${[...v.examples, ...(v.unreadable_examples || [])].map((example) => html`<span class="sub" key=${example}>${example}</span>`)}`]);
  if (p.gone?.entries) found.push(["warning", `${countOf(p.gone.entries, "entry", "entries")} vanished from the source before being copied`]);
  if (p.imperfect) found.push(["warning", `${countOf(p.imperfect, "entry", "entries")} kept content but not all metadata`]);
  const partly = of.holds.filter((h) => h.covers || of.holds.length > 1);
  for (const h of partly) found.push(["", `Hold ${h.id}${h.covers ? ` on ${h.covers}` : ""}: ${h.reason} by ${h.author} since ${time(h.since)}${h.until ? ` until ${time(h.until)}` : ""}${h.note ? `: ${h.note}` : ""}`]);
  if (of.rolls_back) found.push(["", html`This is the ${of.operation} of <a href=${`/migrations/${of.rolls_back}`}>${of.rolls_back.slice(0, 6)}</a>`]);
  for (const back of rolledBack) found.push(["", html`Rolled back by <a href=${`/migrations/${back.id}`}>${back.id.slice(0, 6)}</a> (${back.state.replaceAll("_", " ")}): ${countOf(back.done.entries, "entry", "entries")}, ${bytes(back.done.bytes)}`]);
  return found;
}

export const Remarks = ({ of, rolledBack = [] }) => remarks(of, rolledBack).map(([kind, text], i) => html`<p class="note ${kind}" key=${i}>${text}</p>`);
