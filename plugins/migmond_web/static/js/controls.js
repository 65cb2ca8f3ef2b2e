/** Steering a migration: pause, resume, cancel, and everything else in a dialog that shows the effect beforehand. */
import { html, useState } from "./lib.js";
import { intervene, undo } from "./api.js";
import { executions, may, usable } from "./store.js";
import { Dialog, failed, later, toast } from "./parts.js";

const form = (name) => later("", () => import("./forms.js").then((forms) => ({ default: forms[name] })));
const Change = form("Change"), Cancelling = form("Cancelling"), Together = form("Together");
/** Have what the dialogs hold come before somebody opens one: then it is there with it, and no key is lost. */
export const ahead = () => { for (const part of [Change, Cancelling, Together]) part.ahead(); };
const soon = { onPointerEnter: ahead, onFocus: ahead };
const CAN_PAUSE = ["running"], CAN_RESUME = ["paused", "drained", "failed", "completed_with_errors"];
export const CAN_STEER = ["waiting", "running", "paused", "draining", "drained"];
const CAN_CANCEL = ["created", "waiting", "running", "paused", "draining", "drained", "failed"];
export const key = () => crypto.getRandomValues(new Uint32Array(4)).join("-");

/** Do it and offer to take it back. */
export async function apply(of, action, options = {}) {
  try {
    const { effect, intervention } = await intervene(of.id, action, { key: key(), ...options });
    if (effect.entries === 0) { toast(`${of.name}: nothing that it picks is pending${effect.notes.length ? ` (${effect.notes.join("; ")})` : ", what a mover has in hand it finishes"}: nothing is changed`); return true; }
    const done = `${of.name}: ${effect.before ? `${effect.before} → ${effect.after}` : effect.after}`;
    const back = intervention && intervention.undo ? { text: "Undo", run: () => undo(of.id, intervention.id).then(() => toast(`${of.name}: taken back`), failed) } : null;
    toast(done, back);
    return true;
  } catch (e) { failed(e); return false; }
}

/** What can be done to a migration. `of`: as it was when what is offered last changed; the dialogs look at it as it is. */
export function Controls({ of: seen, cancel }) {
  const [open, setOpen] = useState(""), of = open ? executions.value.get(seen.id) ?? seen : seen;
  const off = !usable() || !may("operator");
  const turn = ["pause", "resume"].find((type) => canBe(type, of)); // one button for both: the focus stays on it
  return html`${turn && html`<button disabled=${off} onClick=${() => apply(of, { type: turn })}>${turn === "pause" ? "Pause" : "Resume"}</button> `}${CAN_STEER.includes(of.state) && html`<button disabled=${off} ...${soon} onClick=${() => setOpen("steer")}>Intervene…</button> `}${cancel && CAN_CANCEL.includes(of.state) && html`<button class="danger" disabled=${off} ...${soon} onClick=${() => setOpen("cancel")}>Cancel…</button>`}
    ${open === "steer" && html`<${Intervene} of=${of} onClose=${() => setOpen("")} />`}${open === "cancel" && html`<${Cancel} of=${of} onClose=${() => setOpen("")} />`}`;
}

export const canBe = (type, of) => (type === "pause" ? CAN_PAUSE : CAN_RESUME).includes(of.state);

export const Intervene = ({ of, onClose, kind, form: filled }) => html`<${Dialog} title=${`Intervene in ${of.name}`} onClose=${onClose}><${Change} of=${of} onClose=${onClose} kind=${kind} form=${filled} /><//>`;
const Cancel = ({ of, onClose }) => html`<${Dialog} title=${`Cancel ${of.name}?`} onClose=${onClose}><${Cancelling} of=${of} onClose=${onClose} /><//>`;
/** Pause or resume several at once, with one reason. */
export const Several = ({ of, type, onClose }) => html`<${Dialog} title=${`${type === "pause" ? "Pause" : "Resume"} ${of.length === 1 ? "1 migration" : `${of.length} migrations`}`} onClose=${onClose}><${Together} of=${of} type=${type} onClose=${onClose} /><//>`;
