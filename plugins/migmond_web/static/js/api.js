/** Calls of the gateway. Everything that comes from it is data, never markup. */
import { request } from "./host.js";

/** What the gateway refused: `message` for people, `hint` what to do, `code` stable, `status` of HTTP. */
export class Refused extends Error {
  constructor(status, error) {
    super(error.message);
    this.status = status;
    this.code = error.code;
    this.hint = error.hint || "";
    this.field = error.field || "";
  }
}

/** Ask for JSON. `body` makes it a change; throws Refused. */
export async function ask(verb, path, body, headers = {}) {
  let answer;
  try {
    answer = await request(path, {
      method: verb,
      headers: { ...(verb === "GET" ? {} : { "X-Migmond": "1" }), ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Refused(0, { code: "unreachable", message: "the gateway does not answer", hint: "is migmond-web running?" });
  }
  let found = null;
  try { found = await answer.json(); } catch { /* told below */ }
  if (answer.ok && found !== null) return found;
  throw new Refused(answer.status, (found && found.error) || { code: "error", message: `the gateway answered ${answer.status}` });
}
export const get = (path, query) => ask("GET", path + queryText(query));
export const post = (path, body, headers) => ask("POST", path, body ?? {}, headers);
export const put = (path, body) => ask("PUT", path, body ?? {});
export const remove = (path, body) => ask("DELETE", path, body);

/** `?a=1&b=2`; lists are repeated, objects are JSON, null and "" left out. */
export function queryText(query) {
  const pairs = new URLSearchParams();
  for (const [name, value] of Object.entries(query || {})) {
    if (value === null || value === undefined || value === "") continue;
    if (Array.isArray(value)) value.forEach((v) => pairs.append(name, typeof v === "object" ? JSON.stringify(v) : v));
    else pairs.append(name, typeof value === "object" ? JSON.stringify(value) : value);
  }
  const text = pairs.toString();
  return text ? "?" + text : "";
}

/** Change a migration, or ask with `dry` what that would mean. A repeated call of one `key` changes nothing. */
export function intervene(id, action, { reason = "", forS = null, dry = false, key = "" } = {}) {
  const body = { action, reason, for_s: forS, dry_run: dry };
  return post(`/${encodeURIComponent(id)}/interventions`, body, key ? { "Idempotency-Key": key } : {});
}
export const undo = (id, intervention) => remove(`/${encodeURIComponent(id)}/interventions/${encodeURIComponent(intervention)}`, {});
