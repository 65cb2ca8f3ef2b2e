/** Where the dashboard runs: a browser at the gateway's own address. contrib/cockpit has another file of this name. */
export const BASE = "/api/v1/migration-monitoring";

/** Whether whoever looks is signed in by what is around the page: then it has nothing to ask, and nobody signs out here. */
export const signsIn = false;

/** Which page is shown, as a URL of which path and query count. */
export const address = () => new URL(location.href);
/** Say that `url` is where one is now; with `replace` there is no way back to where one was. */
export const enter = (url, replace) => history[replace ? "replaceState" : "pushState"](null, "", url);
/** Call `then` whenever somebody goes back or forth. */
export const onReturn = (then) => addEventListener("popstate", then);
/** Load the whole page anew. */
export const reload = () => location.reload();

/** Ask the gateway for `path` below BASE: as fetch(). */
export const request = (path, options) => fetch(BASE + path, { ...options, credentials: "same-origin" });
/** Listen at `path` below BASE: as new WebSocket() and, where none passes, as new EventSource(). */
export const openSocket = (path) => new WebSocket(location.origin.replace(/^http/, "ws") + BASE + path);
export const openEvents = (path) => new EventSource(BASE + path);
