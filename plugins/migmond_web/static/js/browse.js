/** Choosing a directory of the machine. */
import { html, useEffect, useRef, useState } from "./lib.js";
import { get } from "./api.js";
import { Dialog, Failure, Loading, useLoaded } from "./parts.js";

/** Directories as the person sees them: a mover lists them with that person's rights. */
export default function Browse({ from, onClose, onPick }) {
  const first = from.startsWith("/") ? from : "/", [at, setAt] = useState(first), list = useRef(null);
  const found = useLoaded(async () => ({ of: at, ...(await get("/browse", { path: at })) }), [at]), here = found.data?.of === at ? found.data : null;
  useEffect(() => { if (here && at !== first) (list.current?.querySelector("button") || list.current?.closest("dialog").querySelector("button:enabled"))?.focus(); }, [here]); // what had the focus is not there any more
  const up = at.replace(/\/+$/, "").replace(/\/[^/]*$/, "") || "/";
  return html`<${Dialog} title="Choose a directory" onClose=${onClose}><p><code>${at}</code></p>
    <p class="row"><button disabled=${at === "/"} onClick=${() => setAt(up)}>Up</button></p>
    ${found.error ? html`<${Failure} error=${found.error} />` : !here ? html`<${Loading} />` : html`<ul class="list" ref=${list}>${here.entries.length === 0 && html`<li class="dim">There is nothing in it.</li>`}${here.entries.map((e) => html`<li key=${e.name}>${e.type === "directory" ? html`<button class="plain" onClick=${() => setAt(`${at.replace(/\/$/, "")}/${e.name}`)}>${e.name}/</button>` : html`<span class="dim">${e.name}</span>`}</li>`)}</ul>${here.next && html`<p class="dim">There is more than is shown here.</p>`}`}
    <footer><button type="button" onClick=${onClose}>Cancel</button><button type="button" class="main" onClick=${() => onPick(at)}>Choose this</button></footer><//>`;
}
