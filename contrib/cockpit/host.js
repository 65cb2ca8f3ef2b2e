/** Where the dashboard runs: in Cockpit. Its bridge, which runs as whoever is signed in there, reaches the gateway; a
 *  link that the same person makes (`migmon dash`) signs them in. No request of the browser's own leaves the page. */
const { cockpit } = window;
export const BASE = "/api/v1/migration-monitoring";

export const signsIn = true;

/** Which page is shown. Cockpit keeps what is behind the # in its own address, and brings one back to it. */
export const address = () => new URL(location.hash.slice(1) || "/", location.origin);
export function enter(url, replace) {
  const hash = "#" + url.pathname + url.search;
  if (replace) location.replace(hash); else location.hash = hash;
}
export const onReturn = (then) => addEventListener("hashchange", then);
/** Load the whole page anew. */
export const reload = () => location.reload();

/** A promise of the gateway, see `signIn`; null until it is needed, and when it has to be looked for again. */
let gateway = null, known = null;

function tell(text) {
  const place = document.getElementById("trouble");
  place.textContent = text;
  place.hidden = !text;
}

/** One request by the bridge. Returns a Response, whatever its status; throws when nobody answers. */
function send(at, path, { method = "GET", headers = {}, body = "" }) {
  return new Promise((resolve, reject) => {
    let status = 0, fields = {};
    const call = at.http.request({ method, path: BASE + path, body, headers: { ...headers, Host: at.host, ...(at.cookie ? { Cookie: at.cookie } : {}) } });
    const done = (text) => {
      const named = Object.fromEntries(Object.entries(fields).map(([name, value]) => [name.toLowerCase(), value]));
      const answer = new Response(text, { status, headers: { "content-type": named["content-type"] || "" } });
      resolve({ answer, cookie: named["set-cookie"] || "" });
    };
    call.response((given, found) => { status = given; fields = found; });
    call.then(done, (problem, text) => { if (problem.status) done(text); else reject(problem); });
  });
}

/** Returns the gateway: `http` to it, by which name it wants to be called, the cookie that it gave. One that
 *  was started anew, here or elsewhere, takes the cookie of the one before: the session is the daemon's. */
async function signIn() {
  let said;
  try {
    said = await cockpit.spawn(["migmon", "dash", "--json"], { err: "message" });
  } catch (problem) {
    throw new Error(problem.problem === "not-found" ? "migmon is not installed where Cockpit looks for programs" : problem.message);
  }
  const link = new URL(JSON.parse(said).data.url);
  const at = { http: cockpit.http({ address: link.hostname, port: Number(link.port) }), host: link.host, cookie: known?.cookie ?? "" };
  if (at.cookie) return (known = at);
  const body = JSON.stringify({ link: new URLSearchParams(link.hash.slice(1)).get("link") });
  const { answer, cookie } = await send(at, "/session", { method: "POST", headers: { "Content-Type": "application/json", "X-Migmond": "1", "User-Agent": "Cockpit" }, body });
  if (!answer.ok) throw new Error((await answer.json()).error.message);
  [at.cookie] = cookie.split(";");
  return (known = at);
}

/** Return the gateway, signed in. What is in the way is told on the page. */
function reached() {
  if (!gateway) {
    gateway = signIn();
    gateway.then(() => tell(""), (e) => { gateway = null; tell(e.message); });
  }
  return gateway;
}

/** The session at `at` has ended, or with `gone` nobody answers there: who wants the gateway next looks for it again. */
function forget(at, gone) {
  if (at !== known) return; // somebody has done so already
  gateway = null;
  if (!gone) known = null;
}

/** Ask the gateway for `path` below BASE: as fetch(). A session that has ended is opened once more. */
export async function request(path, options = {}) {
  for (let again = true; ; again = false) {
    const at = await reached();
    const { answer } = await send(at, path, options).catch((problem) => { forget(at, true); throw problem; });
    if (answer.status === 401) forget(at, false);
    if (answer.status !== 401 || !again) return answer;
  }
}

/** The bridge carries no WebSockets. */
export const openSocket = null;
/** Listen at `path` below BASE: as new EventSource(). */
export function openEvents(path) {
  const events = { onmessage: null, onerror: null, close: null };
  let call = null, over = false, rest = "";
  const end = (at, problem) => {
    if (over) return;
    if (problem) forget(at, problem.status !== 401);
    events.onerror?.();
  };
  events.close = () => { over = true; call?.close(); };
  reached().then((at) => {
    if (over) return;
    call = at.http.request({ method: "GET", path: BASE + path, body: "", headers: { Host: at.host, Cookie: at.cookie, Accept: "text/event-stream" } });
    call.stream((text) => {
      const parts = (rest + text).split("\n\n");
      rest = parts.pop();
      for (const part of parts) if (!over && part.startsWith("data: ")) events.onmessage?.({ data: part.slice(6) });
    });
    call.then(() => end(at), (problem) => end(at, problem));
  }, () => end(null));
  return events;
}

/** A browser cannot follow a link to the gateway here: what is to be kept as a file is fetched, then kept. */
addEventListener("click", async (e) => {
  const link = e.target.closest?.(`a[href^='${BASE}/']`);
  if (!link) return;
  e.preventDefault();
  const answer = await request(link.getAttribute("href").slice(BASE.length));
  const kept = document.createElement("a");
  kept.href = URL.createObjectURL(await answer.blob());
  kept.download = link.download;
  kept.click();
  setTimeout(() => URL.revokeObjectURL(kept.href), 10000);
});
