/** Signing in: by the link of `migmon dash`, whose secret is behind the #, or by name and password. */
import { html, useEffect, useState } from "../lib.js";
import { post } from "../api.js";
import { whoAmI } from "../store.js";

/** From elsewhere one comes by another address than `migmon dash` knows, and has no browser at its terminal. */
const HERE = /^(localhost|127\.0\.0\.1|\[::1\])$/.test(location.hostname);
const COMMAND = HERE ? "migmon dash" : `migmon dash --print --url ${location.origin}`;

export default function SignIn() {
  const [error, setError] = useState(null), [busy, setBusy] = useState(false);
  const open = async (given) => {
    setBusy(true);
    setError(null);
    try { await post("/session", given); await whoAmI(); } catch (e) { setError(e); setBusy(false); }
  };
  useEffect(() => {
    const take = () => {
      const link = new URLSearchParams(location.hash.slice(1)).get("link");
      if (!link) return;
      history.replaceState(null, "", location.pathname + location.search);
      open({ link });
    };
    take();
    addEventListener("hashchange", take); // a link that is opened where this page is already loads nothing anew
    return () => removeEventListener("hashchange", take);
  }, []);
  const submit = (e) => { e.preventDefault(); const f = new FormData(e.target); open({ user: f.get("user"), password: f.get("password") }); };
  return html`<main class="page"><h1>Sign in to migmond</h1>
    ${error && html`<div class="note critical" role="alert">${error.message}<span class="sub">${error.hint}</span></div>`}
    <div class="two"><section class="panel"><header><h2>With a link</h2></header><div class="in"><p>In a terminal of the machine that migmond runs on:</p><p><code>${COMMAND}</code></p><p class="dim">It ${HERE ? "opens this page and" : "prints a link to this page, which"} signs you in, once, with your own rights.</p></div></section>
    <section class="panel"><header><h2>With a password</h2></header><form class="in" onSubmit=${submit}>
      <label class="field"><span>User</span><input name="user" autocomplete="username" required /></label>
      <label class="field"><span>Password</span><input name="password" type="password" autocomplete="current-password" required /></label>
      <button class="main" disabled=${busy}>Sign in</button></form></section></div></main>`;
}
