/** What the page knows, and the connection that keeps it true. */
import { batch, signal } from "./lib.js";
import { get } from "./api.js";
import { openEvents, openSocket } from "./host.js";

/** Who is signed in: undefined while asked, null for nobody. */
export const me = signal(undefined);
/** Views of migrations by id, as of `asOf`. */
export const executions = signal(new Map());
/** `connecting`, `live`, `lost` (with `why`); `since`: when it became so; `asOf`: of the figures, ms since the epoch. */
export const connection = signal({ state: "connecting", why: "", since: Date.now() });
export const asOf = signal(null);
/** The newest events but progress, for whoever wants to look anew when something happened. */
export const happened = signal({ type: "", execution: "", name: "", n: 0 });
/** Rises whenever an alert fires, is resolved or acknowledged, and after a new connection. */
export const alertNews = signal(0);
export const now = signal(Date.now());
setInterval(() => { if (!document.hidden) now.value = Date.now(); }, 1000);

/** Whether controls may be used: what is seen may be long over otherwise. */
export const usable = () => connection.value.state === "live";
export const may = (role) => { const roles = ["viewer", "operator", "admin"]; return !!me.value && roles.indexOf(me.value.role) >= roles.indexOf(role); };

export async function whoAmI() {
  try { me.value = await get("/session"); } catch (e) { if (e.status === 401 || e.status === 403) me.value = null; else throw e; }
}

/** The gateway says something at least every two seconds: a loss is shown within five, also when nobody closed anything. */
const LOOK_MS = 500, ALIVE_MS = 4000, SLOWEST_MS = 15000;
/** A page that nobody sees listens no more after so long: when it is seen again it begins with what there is then. */
const ASLEEP_MS = 10000;
let stop = null, tries = 0, last = 0;

/** Listen until `disconnect`, if that is not done already; comes again by itself, with jitter, and takes what it missed from the snapshot. */
export function connect() {
  if (stop) return;
  let asleep = false, tired = 0, ended = false, socket = null, source = null, timer = 0, refused = 0;
  const lost = (why) => { if (connection.value.state !== "lost") connection.value = { state: "lost", why, since: Date.now() }; };
  const heard = (text) => {
    last = Date.now();
    const message = JSON.parse(text);
    if (message.kind === "over") { ended = true; me.value = null; return; }
    if (message.kind === "lost") { lost(`no daemon answers: ${message.data}`); return; }
    tries = 0;
    if (message.kind === "alive") return; // the gateway is; of the daemon that says nothing
    batch(() => {
      const away = message.kind === "hello" && message.data.lost; // who comes while no daemon answers gets what was known
      if (away) lost(`no daemon answers: ${away}`);
      else if (connection.value.state !== "live") connection.value = { state: "live", why: "", since: Date.now() };
      if (message.kind === "hello") hello(message.data);
      if (message.kind === "event") event(message);
    });
  };
  const again = (why) => {
    if (ended) return;
    lost(why);
    tries += 1;
    timer = setTimeout(open, Math.min(SLOWEST_MS, 500 * 2 ** Math.min(tries, 5)) * (0.5 + Math.random()));
  };
  /** Closing a connection that nobody answers at takes its time: it is not waited for. */
  const drop = () => {
    const old = socket;
    socket = null;
    if (old) old.close();
    if (source) { source.close(); source = null; }
  };
  const open = () => {
    if (refused >= 2 || !openSocket) { // something in between lets no WebSocket pass
      source = openEvents("/stream");
      source.onmessage = (e) => heard(e.data);
      source.onerror = () => { source.close(); source = null; again("the connection broke"); };
      return;
    }
    let opened = false;
    const mine = socket = openSocket("/stream");
    socket.onopen = () => { opened = true; last = Date.now(); };
    socket.onmessage = (e) => { if (socket === mine) heard(e.data); };
    socket.onclose = (e) => {
      if (ended || socket !== mine) return; // given up before
      socket = null;
      last = 0;
      if (e.code === 4401) { ended = true; me.value = null; return; }
      refused = opened ? 0 : refused + 1;
      again(e.reason || (opened ? "the connection broke" : "the gateway does not answer"));
    };
  };
  const seen = () => {
    clearTimeout(tired);
    if (document.hidden) {
      tired = setTimeout(() => { asleep = true; last = 0; clearTimeout(timer); drop(); }, ASLEEP_MS);
      return;
    }
    now.value = Date.now();
    if (!asleep) return;
    asleep = false;
    if (connection.value.state === "live") connection.value = { state: "connecting", why: "", since: Date.now() };
    open();
  };
  document.addEventListener("visibilitychange", seen);
  const watch = setInterval(() => {
    if (document.hidden || !last || Date.now() - last <= ALIVE_MS || !(socket || source)) return;
    last = 0;
    drop();
    again("nothing was heard for a while");
  }, LOOK_MS);
  open();
  seen();
  stop = () => { ended = true; clearTimeout(timer); clearTimeout(tired); clearInterval(watch); document.removeEventListener("visibilitychange", seen); drop(); };
}
export function disconnect() { if (stop) stop(); stop = null; }

function tell(type, execution, name = "") { if (type === "hello" || type.startsWith("alert.")) alertNews.value += 1; happened.value = { type, execution, name, n: happened.value.n + 1 }; }

function hello({ executions: views, age_s }) {
  fresh.clear();
  executions.value = new Map(views.map((view) => [view.id, view]));
  asOf.value = Date.now() - 1000 * (age_s || 0);
  tell("hello", "");
}

function event({ data, gap }) {
  if (gap) { disconnect(); connect(); return; }
  if (data.view) fresh.set(data.execution, data.view);
  const known = fresh.get(data.execution) || executions.value.get(data.execution);
  if (data.type === "execution.verified" && known) fresh.set(data.execution, { ...known, verification: data.verification });
  if (data.type === "execution.forgotten") fresh.set(data.execution, null);
  freshAt = Date.now();
  if (data.type === "execution.progress") { drawing ||= requestAnimationFrame(take); return; }
  take();
  tell(data.type, data.execution || "", data.name || "");
}

/** What is newer than what is shown, by migration, null for one that is no more: however many tell of themselves, a frame is drawn once. A page that nobody sees draws none. */
const fresh = new Map();
let drawing = 0, freshAt = 0;
function take() {
  cancelAnimationFrame(drawing);
  drawing = 0;
  batch(() => {
    if (fresh.size) executions.value = new Map([...new Map([...executions.value, ...fresh])].filter(([, view]) => view));
    fresh.clear();
    asOf.value = freshAt;
  });
}
