/** How one turns the pages of a list. */
import { html } from "./lib.js";
import { count, DASH } from "./format.js";

/** Of a list that is asked for from a position on. */
export const Pages = ({ offset, size, total, set }) => total <= size ? null : html`<p class="row in"><button disabled=${offset === 0} onClick=${() => set(Math.max(0, offset - size))}>Previous</button><span>${offset + 1} ${DASH} ${Math.min(total, offset + size)} of ${count(total)}</span><button disabled=${offset + size >= total} onClick=${() => set(offset + size)}>Next</button></p>`;
/** Of a list that is read from the newest on, by a cursor: where this page begins is `at`, "" for the newest, where the following one does is `next`, null at the end; `which`: of how many these are which. */
export const Onward = ({ at, next, which, turn }) => (at || next !== null) && html`<p class="row in">${at && html`<button onClick=${() => turn(null)}>Newest</button>`}${which && html`<span>${which}</span>`}${next !== null && html`<button onClick=${() => turn(String(next))}>Older</button>`}</p>`;
