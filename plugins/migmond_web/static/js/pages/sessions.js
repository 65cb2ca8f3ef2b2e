/** Who is signed in, and signing others out. */
import { html } from "../lib.js";
import { get, remove } from "../api.js";
import { me } from "../store.js";
import { failed, Loaded, Panel, Table, toast, useLoaded } from "../parts.js";
import { time } from "../format.js";

export default function Sessions() {
  const found = useLoaded(() => get("/sessions"), []);
  const out = (s) => remove(`/sessions/${s.id}`, {}).then(() => { toast(`${s.user} was signed out`); if (s.own) me.value = null; else found.again(); }, failed);
  return html`<h1>Sessions</h1><${Panel} title="Signed in"><${Loaded} of=${found}>${(d) => html`<${Table} label="Sessions" rows=${d.sessions} keyOf=${(s) => s.id} columns=${[
    { name: "Who", cell: (s) => html`${s.user} (${s.role})${s.own && html`<span class="sub">this one</span>`}` },
    { name: "With", cls: "name", cell: (s) => s.note },
    { name: "Since", cell: (s) => time(s.created_at) }, { name: "Used", cell: (s) => time(s.used_at) }, { name: "Until", cell: (s) => time(s.expires_at) },
    { name: "", cls: "acts", cell: (s) => html`<button onClick=${() => out(s)} aria-label=${`Sign out ${s.user}, signed in ${time(s.created_at)}`}>Sign out</button>` },
  ]} />`}<//><//>`;
}
