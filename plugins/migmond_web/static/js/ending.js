/** What can be done about a migration that has ended: verify it, undo it, forget it. */
import { html, useState } from "./lib.js";
import { get, post, remove } from "./api.js";
import { may, usable } from "./store.js";
import { Dialog, failed, Loaded, Table, toast, useLoaded } from "./parts.js";
import { bytes, count } from "./format.js";
import { go } from "./main.js";

const UNDONE = ["restore", "remove", "whole", "occupied"];

export default function Ending({ of }) {
  const [open, setOpen] = useState(""), [busy, setBusy] = useState(false), off = !usable() || !may("operator");
  const verify = () => { setBusy(true); post(`/${of.id}/verify`, {}).then(() => toast(`${of.name}: its targets are read again`), failed).finally(() => setBusy(false)); };
  const undoes = of.operation === "copy" || of.operation === "move";
  return html`${of.state.startsWith("completed") && undoes && html`<button disabled=${off || busy} onClick=${verify}>Verify</button> `}${undoes && html`<button class="danger" disabled=${off} onClick=${() => setOpen("undo")}>Roll back…</button> `}<button class="danger" disabled=${off} onClick=${() => setOpen("forget")}>Forget…</button>
    ${open === "undo" && html`<${RollBack} of=${of} onClose=${() => setOpen("")} />`}${open === "forget" && html`<${Forget} of=${of} onClose=${() => setOpen("")} />`}`;
}

/** What does not come back is asked for by name. */
const Sure = ({ of, name, set, what }) => html`<label class="field"><span>Type its name, ${of.name}, to ${what} it.</span><input value=${name} onInput=${(e) => set(e.target.value)} autocomplete="off" spellcheck=${false} /></label>`;

function RollBack({ of, onClose }) {
  const [name, setName] = useState(""), [reason, setReason] = useState(""), [busy, setBusy] = useState(false), [key] = useState(() => crypto.getRandomValues(new Uint32Array(4)).join("-"));
  const found = useLoaded(() => get(`/${of.id}/rollback`), [of.id]);
  const some = (found.data?.fates || []).some((f) => UNDONE.includes(f.fate) && f.entries.entries > 0);
  const submit = async (e) => {
    e.preventDefault();
    if (busy || !some || name !== of.name) return;
    setBusy(true);
    try { const view = await post(`/${of.id}/rollback`, { reason }, { "Idempotency-Key": key }); onClose(); go(`/migrations/${view.id}`); } catch (problem) { failed(problem); setBusy(false); }
  };
  return html`<${Dialog} title=${`Roll ${of.name} back?`} onClose=${onClose}><form onSubmit=${submit}>
    <p>${of.operation === "move" ? "What was moved is moved back" : "What was copied is removed"}, if it is still what was brought there; never the last copy of anything. It is a migration of its own, which can be watched and paused.</p>
    <${Loaded} of=${found}>${(d) => html`<${Table} label="What becomes of it" rows=${d.fates} keyOf=${(f) => f.fate} columns=${[
      { name: "Entries", num: true, cell: (f) => count(f.entries.entries) }, { name: "Size", num: true, cell: (f) => bytes(f.entries.bytes) }, { name: "What becomes of them", cls: "name", cell: (f) => f.meaning },
    ]} />${!some && html`<p class="note">There is nothing to roll back.</p>`}`}<//>
    <${Sure} of=${of} name=${name} set=${setName} what="roll back" />
    <label class="field"><span>Reason (kept in the log)</span><input value=${reason} onInput=${(e) => setReason(e.target.value)} placeholder="optional" /></label>
    <footer><button type="button" onClick=${onClose}>Leave it</button><button class="main danger" disabled=${!some || name !== of.name || busy || !usable()}>Roll back</button></footer></form><//>`;
}

function Forget({ of, onClose }) {
  const [name, setName] = useState(""), [busy, setBusy] = useState(false);
  const submit = async (e) => {
    e.preventDefault();
    if (busy || name !== of.name) return;
    setBusy(true);
    try { await remove(`/${of.id}`, {}); onClose(); toast(`${of.name} is forgotten; its files are where they are`); go("/history"); } catch (problem) { failed(problem); setBusy(false); }
  };
  return html`<${Dialog} title=${`Forget ${of.name}?`} onClose=${onClose}><form onSubmit=${submit}>
    <p>What is on record of ${count(of.progress.planned.entries)} entries is removed: it cannot be verified or rolled back then, and is in no report or comparison. Its files stay as they are. This cannot be taken back.</p>
    <${Sure} of=${of} name=${name} set=${setName} what="forget" />
    <footer><button type="button" onClick=${onClose}>Keep it</button><button class="main danger" disabled=${name !== of.name || busy || !usable()}>Forget it</button></footer></form><//>`;
}
