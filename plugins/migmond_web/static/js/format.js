/** Values as people read and write them: as migmond/domain/units.py has them (tests/web/test_units.py compares). Unknown is a dash, never 0. */
export const DASH = "–";
/** A pattern for fields: what is no number, or too large for one, would travel as null, which is "no limit". */
export const NUMBER = "\\s*[0-9]{1,15}(\\.[0-9]{1,15})?\\s*";
const unknown = (value) => value === null || value === undefined;

/** With so many digits behind the point; what is in the midst between two, as many binary values are, becomes the even one. */
function fixed(value, digits) {
  const more = value.toFixed(digits + 40);
  if (!/50{39}$/.test(more)) return value.toFixed(digits);
  const low = more.slice(0, -40).replace(/\.$/, "");
  return "02468".includes(low.at(-1)) ? low : value.toFixed(digits);
}
/** With so many digits that count, without zeros at the end. */
export function digits(value, most) {
  if (value === 0) return "0";
  const tens = Number(value.toExponential(most - 1).split("e")[1]);
  if (tens < -4 || tens >= most) return value.toExponential(most - 1).replace(/\.?0*e([+-])(\d)$/, "e$10$2").replace(/\.?0+e/, "e");
  const text = fixed(value, most - 1 - tens);
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0, roundingMode: "halfEven" });
/** A number without a unit. */
export const number = (value) => (unknown(value) ? DASH : Number.isInteger(value) || Math.abs(value) >= 1000 ? whole.format(value) : digits(value, 4));
/** How many there are. */
export const count = (value) => (unknown(value) ? DASH : whole.format(value));

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
export function bytes(value) {
  if (unknown(value)) return DASH;
  let amount = value;
  for (const unit of UNITS) {
    if (Math.abs(amount) < 1000) return `${unit === "B" || amount >= 100 ? fixed(amount, 0) : digits(amount, 3)} ${unit}`;
    amount /= 1024;
  }
  return `${digits(amount, 3)} EiB`;
}
export const rate = (value) => (unknown(value) ? DASH : `${bytes(value)}/s`);
export const percent = (value, places = 1) => (unknown(value) ? DASH : `${value.toFixed(places)} %`);
export const ratio = (value) => (unknown(value) ? DASH : percent(100 * value));
/** With the two largest units. */
export function duration(seconds) {
  if (unknown(seconds)) return DASH;
  if (seconds === 0) return "0 s"; // nobody measured it to the millisecond: there was none
  if (seconds < 0.9995) return `${fixed(seconds * 1000, 0)} ms`; // each bound is where the next larger unit is what it rounds to
  if (seconds < 9.95) return `${fixed(seconds, 1)} s`;
  if (seconds < 59.5) return `${fixed(seconds, 0)} s`;
  const all = Number(fixed(seconds, 0)), two = (n, unit, rest, less) => (rest ? `${n} ${unit} ${rest} ${less}` : `${n} ${unit}`);
  const minutes = Math.floor(all / 60);
  if (minutes < 60) return two(minutes, "min", minutes < 10 && all % 60, "s");
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? two(hours, "h", minutes % 60, "min") : two(Math.floor(hours / 24), "d", hours % 24, "h");
}
const clock = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const date = new Intl.DateTimeFormat([], { year: "numeric", month: "short", day: "2-digit", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
/** RFC 3339 text or seconds since the epoch, as the time of the day if it is today's. */
export function time(at, now = new Date()) {
  if (at === null || at === undefined || at === "") return DASH;
  const when = new Date(typeof at === "number" ? at * 1000 : at);
  return when.toDateString() === now.toDateString() ? clock.format(when) : date.format(when);
}
/** What is counted while it grows: whole seconds, which do not flicker, and never less than none. */
export const age = (seconds) => (seconds < 59.5 ? `${Math.max(0, seconds).toFixed(0)} s` : duration(seconds));
export const ago = (at, now = Date.now()) => `${age((now - new Date(at).getTime()) / 1000)} ago`;
/** What is at the target for good, what it had already among it. */
export const there = ({ done, durable, skipped }, of) => done[of] + durable[of] + skipped[of];
/** The same with what is on its way, without what vanished from the source: what a percentage is of. */
export const settled = (p, of) => there(p, of) + p.in_flight[of] - (p.gone?.[of] ?? 0);
/** A value with its unit, as metrics and reports have it: the one way for alerts, charts and tables. */
export function measure(value, unit = "", perSecond = false) {
  if (unknown(value)) return DASH;
  return amountOf(value, unit, perSecond) + (perSecond ? "/s" : "");
}
function amountOf(value, unit, perSecond) {
  switch (unit) {
    case "": return number(value);
    case "bytes": return bytes(value);
    case "bytes per second": return rate(value);
    case "per second": return `${number(value)}/s`;
    case "ratio": return `${number(value * 100)} %`;
    case "celsius": return `${digits(value, 3)} °C`;
    case "joules": return energy(value);
    case "seconds":
      if (perSecond) return `${number(value)} s`; // seconds each second: a share, which "250 ms/s" hides
      if (Math.abs(value) < 0.9995) return `${digits(value * 1000, 3)} ms`; // a latency, of which a chart shows more than whole milliseconds
      return (value < 0 ? "-" : "") + duration(Math.abs(value));
    default: return `${number(value)} ${unit}`;
  }
}
export const energy = (joules) => (unknown(joules) ? DASH : joules >= 3.6e5 ? `${digits(joules / 3.6e6, 3)} kWh` : joules < 1000 ? `${digits(joules, 3)} J` : `${digits(joules / 1000, 3)} kJ`);

const SIZE = /^\s*(-?\d+(?:\.\d+)?)\s*(?:(%)|((?:[kmgtpe]i?)?)(b|bit)(?:\/s)?)?\s*$/i;
/** A threshold as people write it: 20 MiB/s, 80 Mbit/s, 85 %, 0.5. NaN when it is none. */
export function parsed(text) {
  const found = SIZE.exec(text);
  if (!found) return NaN;
  const [, amount, isPercent, prefix = "", unit = ""] = found;
  if (isPercent) return Number(amount) / 100;
  const base = prefix.length > 1 ? 1024 : 1000, power = " kmgtpe".indexOf((prefix[0] || " ").toLowerCase());
  return (Number(amount) * base ** power) / (unit.toLowerCase() === "bit" ? 8 : 1);
}
const MIB = 2 ** 20;
/** What a field in MiB says, as bytes. */
export const mebibytes = (text) => Math.round(Number(text) * MIB);
/** From where to where a migration goes; `shown`: how each path is written. */
export const waysOf = (view, shown = (path) => path) => `${view.sources.map(shown).join(", ")} → ${[view.destination, ...(view.further_destinations || [])].map(shown).join(", ")}`;
/** The end of a path that is too long for a table, from a whole name on if there is one: by their ends people tell paths apart. */
export function tail(path, most = 32) {
  const letters = [...path];
  if (letters.length <= most) return path;
  const end = letters.slice(1 - most).join(""), at = end.indexOf("/");
  return `…${at >= 0 && at < end.length - 1 ? end.slice(at) : end}`;
}
/** A path as selectors have it: below the source that it comes from. `under` is path text as it is shown, so that no character of it is a pattern. */
export function below(path, sources) {
  const source = sources.filter((s) => path.startsWith(`${s.replace(/\/$/, "")}/`)).sort((a, b) => b.length - a.length)[0];
  return source === undefined ? path : path.slice(source.replace(/\/$/, "").length + 1);
}
