/** Put into a page before its own scripts: when its figures were first painted, and how old samples are when they are. */
(() => {
  const ROW = "table[aria-label='Active migrations'] td.name a";
  window.seen = { painted: 0, ages: [] };
  let newest = 0, shown = 0;
  window.WebSocket = class extends WebSocket {
    constructor(...given) {
      super(...given);
      this.addEventListener("message", (e) => { const { data } = JSON.parse(e.data); if (data?.view) newest = Math.max(newest, Date.parse(data.view.as_of)); });
    }
  };
  /** After the frame that follows: what was changed is painted by then. */
  const painted = (then) => requestAnimationFrame(() => setTimeout(then));
  new MutationObserver(() => {
    if (!document.querySelector(ROW)) return;
    if (!window.seen.painted) { window.seen.painted = -1; painted(() => { window.seen.painted = performance.now(); }); }
    if (newest === shown) return;
    const at = shown = newest;
    painted(() => window.seen.ages.push(Date.now() - at));
  }).observe(document, { childList: true, subtree: true, characterData: true, attributes: true });
})();
