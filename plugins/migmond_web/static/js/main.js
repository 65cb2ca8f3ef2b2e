/** The shell: which page, who is signed in, the connection. All state of a page is in its address. */
import { html, render, signal, useEffect, useState } from "./lib.js";
import { alertNews, asOf, connect, connection, disconnect, executions, me, whoAmI } from "./store.js";
import { get, remove } from "./api.js";
import * as host from "./host.js";
import { Failure, failed, later, Live, Loading, Lost, Toasts } from "./parts.js";

const SignIn = later("", () => import("./pages/signin.js"));

export const address = signal(host.address());
host.onReturn(() => { address.value = host.address(); });

/** Go somewhere in the dashboard; `query` replaces the present one when it is given. */
export function go(path, query, { replace = false } = {}) {
  const url = new URL(path, location.origin);
  for (const [k, v] of Object.entries(query || {})) if (v !== null && v !== undefined && v !== "") url.searchParams.set(k, v);
  host.enter(url, replace);
  address.value = url;
  if (!replace) { scrollTo(0, 0); document.getElementById("main")?.focus(); }
}
/** Change some of the address's parameters; null takes one away. */
export function turn(changes) {
  const url = new URL(address.value);
  for (const [k, v] of Object.entries(changes)) { if (v === null || v === "") url.searchParams.delete(k); else url.searchParams.set(k, v); }
  host.enter(url, true);
  address.value = url;
}
export const param = (name, otherwise = "") => address.value.searchParams.get(name) ?? otherwise;

addEventListener("click", (e) => {
  const link = e.target.closest?.("a[href^='/']");
  if (!link || e.defaultPrevented || e.button || e.metaKey || e.ctrlKey || e.shiftKey || link.target || link.pathname.startsWith("/api/")) return;
  e.preventDefault();
  go(link.getAttribute("href"));
});

const PAGES = [
  [/^\/$/, "Overview", () => import("./pages/overview.js")],
  [/^\/history$/, "History", () => import("./pages/history.js")],
  [/^\/alerts$/, "Alerts", () => import("./pages/alerts.js")],
  [/^\/dashboards$/, "Dashboards", () => import("./pages/dashboards.js")],
  [/^\/reports$/, "Reports", () => import("./pages/reports.js")],
  [/^\/start$/, "Start a migration", () => import("./pages/start.js")],
  [/^\/sessions$/, "Sessions", () => import("./pages/sessions.js")],
  [/^\/migrations\/([^/]+)$/, "Migration", () => import("./pages/migration.js")],
];
/** A part of a path; as it stands there when somebody cut it off in the midst of an escape. */
function decoded(part) { try { return decodeURIComponent(part); } catch { return part; } }
const pageAt = (path) => PAGES.find(([pattern]) => pattern.test(path));
pageAt(address.peek().pathname)?.[2]().catch(() => {}); // it is told when it is shown; until then who is signed in is asked at the same time
const NAV = [["/", "Overview"], ["/history", "History"], ["/alerts", "Alerts"], ["/dashboards", "Dashboards"], ["/reports", "Reports"], ["/start", "Start"]];

function Page() {
  const path = address.value.pathname;
  const entry = pageAt(path);
  const [loaded, set] = useState(null);
  useEffect(() => {
    let here = true;
    if (entry) entry[2]().then((m) => here && set({ entry, Page: m.default }), (error) => here && set({ entry, error }));
    return () => { here = false; };
  }, [entry]);
  useEffect(() => { document.title = entry ? `${entry[1]} · migmond` : "migmond"; }, [entry]);
  if (!entry) return html`<h1>There is no such page</h1><p><a href="/">Overview</a></p>`;
  if (loaded?.entry !== entry) return html`<${Loading} />`;
  if (loaded.error) return html`<${Failure} error=${{ message: "this page could not be loaded", hint: "the gateway is away, or a newer one is there: try again" }} again=${() => host.reload()} />`;
  return html`<${loaded.Page} key=${path} id=${decoded(entry[0].exec(path)[1] || "")} />`;
}

const THEMES = ["auto", "light", "dark"];
function theme(value) {
  if (value === "auto") document.documentElement.removeAttribute("data-theme"); else document.documentElement.dataset.theme = value;
}
function Theme() {
  const [value, set] = useState(localStorage.getItem("theme") || "auto");
  const change = () => { const v = THEMES[(THEMES.indexOf(value) + 1) % 3]; localStorage.setItem("theme", v); theme(v); set(v); };
  return html`<button onClick=${change} aria-label=${`Theme: ${value}`}>Theme: ${value}</button>`;
}

/** How many alerts fire, for the navigation; null while nobody knows. */
function useFiring(person) {
  const [n, set] = useState(null), news = alertNews.value;
  useEffect(() => { if (person) get("/alerts", { limit: 1 }).then((d) => set(Object.values(d.counts).reduce((a, b) => a + b, 0)), () => set(null)); }, [person, news]);
  return n;
}

async function signOut() {
  try { await remove("/session"); } catch (e) { failed(e); return; }
  disconnect();
  executions.value = new Map();
  me.value = null;
}

function App() {
  const person = me.value, path = address.value.pathname, firing = useFiring(person?.session);
  useEffect(() => { if (person) connect(); else if (person === null) disconnect(); }, [person?.session, person === null]);
  if (person === undefined) return html`<main class="page">${connection.value.state === "lost" ? html`<${Failure} error=${{ message: `It is not known who is signed in: ${connection.value.why}`, hint: "It is asked again every few seconds. Migrations go on." }} />` : html`<${Loading} />`}</main>`;
  if (person === null) return host.signsIn ? html`<main class="page"><${Failure} error=${{ message: "the session is over", hint: "it was ended elsewhere, or has expired" }} again=${whoAmI} /></main>` : html`<${SignIn} />`;
  return html`<a class="skip" href="#main">Skip to the page</a>
    <header class="top"><strong>migmond</strong><nav aria-label="Pages">${NAV.map(([to, name]) => html`<a href=${to} aria-current=${(to === "/" ? path === "/" : path.startsWith(to)) ? "page" : undefined}>${name}${to === "/alerts" && firing ? ` (${firing})` : ""}</a>`)}</nav>
      <span class="end"><${Live} /><a href="/sessions">${person.user} (${person.role})</a><${Theme} />${!host.signsIn && html`<button onClick=${signOut}>Sign out</button>`}</span></header>
    <main class="page" id="main" tabindex="-1"><${Lost} asOf=${asOf.value} /><${Page} /></main><${Toasts} />`;
}

theme(localStorage.getItem("theme") || "auto");
addEventListener("beforeprint", () => theme("light")); // paper is
addEventListener("afterprint", () => theme(localStorage.getItem("theme") || "auto"));
const root = document.getElementById("app");
if (root.hasAttribute("data-session")) connect(); // who has the cookie of a session is signed in, mostly: what is asked at the same time says whether
else if (!host.signsIn) SignIn.ahead();
root.replaceChildren();
render(html`<${App} />`, root);
const AGAIN_MS = 2000;
function begin() {
  whoAmI().catch((e) => { connection.value = { state: "lost", why: e.message, since: Date.now() }; setTimeout(begin, AGAIN_MS); });
}
begin();
