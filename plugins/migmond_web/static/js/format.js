/** Numbers for people. Unknown is a dash, never 0. */
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
export const DASH = "–";
/** A pattern for fields: what is no number would travel as null, which is "no limit". */
export const NUMBER = "\\s*[0-9]+(\\.[0-9]+)?\\s*";
export function bytes(value) {
  if (value === null || value === undefined) return DASH;
  let unit = 0, amount = Math.abs(value);
  while (amount >= 1024 && unit < UNITS.length - 1) { amount /= 1024; unit += 1; }
  const digits = unit === 0 || amount >= 100 ? 0 : amount >= 10 ? 1 : 2;
  return `${value < 0 ? "−" : ""}${amount.toFixed(digits)} ${UNITS[unit]}`;
}
export const rate = (value) => (value === null || value === undefined ? DASH : `${bytes(value)}/s`);
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
export const count = (value) => (value === null || value === undefined ? DASH : whole.format(Math.round(value)));
export const percent = (value, digits = 1) => (value === null || value === undefined ? DASH : `${value.toFixed(digits)} %`);
export const ratio = (value) => (value === null || value === undefined ? DASH : percent(100 * value));
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return DASH;
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  const m = Math.floor(s / 60);
  if (m < 60) return m < 10 ? `${m} min ${String(s % 60).padStart(2, "0")} s` : `${m} min`;
  const h = Math.floor(m / 60);
  if (h < 48) return `${h} h ${String(m % 60).padStart(2, "0")} min`;
  return `${Math.floor(h / 24)} d ${h % 24} h`;
}
const clock = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const date = new Intl.DateTimeFormat([], { year: "numeric", month: "short", day: "2-digit", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
/** RFC 3339 text or seconds since the epoch, as the time of the day if it is today's. */
export function time(at, now = new Date()) {
  if (at === null || at === undefined || at === "") return DASH;
  const when = new Date(typeof at === "number" ? at * 1000 : at);
  return when.toDateString() === now.toDateString() ? clock.format(when) : date.format(when);
}
export const ago = (at, now = Date.now()) => `${duration((now - new Date(at).getTime()) / 1000)} ago`;
/** What has arrived of something, with what is on its way: what its percentage is of. */
export const moved = (progress) => progress.done.bytes + progress.in_flight.bytes;
/** A metric's value by its unit. */
export function measure(value, unit, perSecond = false) {
  if (value === null || value === undefined) return DASH;
  if (unit?.endsWith(" per second")) return measure(value, unit.slice(0, -" per second".length), true);
  const tail = perSecond ? "/s" : "";
  if (unit === "bytes") return bytes(value) + tail;
  if (unit === "ratio") return ratio(value);
  if (unit === "celsius") return `${value.toFixed(0)} °C`;
  if (unit === "seconds") return perSecond ? value.toFixed(2) : value > 0 && value < 1 ? `${(value * 1000).toFixed(value < 0.01 ? 1 : 0)} ms` : duration(value);
  return (Math.abs(value) >= 100 ? count(value) : String(+value.toPrecision(3))) + tail;
}
/** From where to where a migration goes. */
export const waysOf = (view) => `${view.sources.join(", ")} → ${[view.destination, ...(view.further_destinations || [])].join(", ")}`;
