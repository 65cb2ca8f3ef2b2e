/** Put into a page before its own scripts: figures of as many migrations as wanted, as its WebSocket would bring them. */
(() => {
  const draw = window.requestAnimationFrame.bind(window), port = new MessageChannel(), asked = [];
  let socket = null, frames = true;
  window.WebSocket = class {
    constructor() { socket = this; setTimeout(() => this.onopen?.()); }
    send() {}
    close() {}
  };
  port.port1.onmessage = () => asked.splice(0).forEach((call) => call(performance.now()));
  /** Without `frames` they come at once. */
  window.requestAnimationFrame = (call) => {
    if (frames) return draw(call);
    asked.push(call);
    port.port2.postMessage(0);
    return 1;
  };
  const settled = () => new Promise((done) => window.requestAnimationFrame(() => setTimeout(done)));
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));

  let views = [], rounds = [], round = 1;
  const moving = (view, i, k) => {
    const p = view.progress, part = ((k * 7 + i * 13) % 997) / 997, size = 2 ** 30 * (i + 1);
    return { ...view, progress: { ...p, percent_done: 100 * part, bytes_per_s: 1e6 * (1 + ((k + i) % 50)), seconds_remaining: 9000 - k % 4000, eta_low_s: 8000, eta_high_s: 9900, planned: { ...p.planned, bytes: size, entries: 90000 + i }, done: { ...p.done, bytes: size * part, entries: Math.round(90000 * part) } } };
  };
  const message = (kind, data) => JSON.stringify({ kind, data, gap: false });
  const hear = (text) => socket.onmessage({ data: text });

  window.feed = {
    /** Show `count` migrations like `like`. Updates are made beforehand, each of all of them. */
    async show(like, count, made = 40) {
      while (!socket) await pause(20);
      views = Array.from({ length: count }, (_, i) => ({ ...like, id: `${String(i).padStart(4, "0")}${like.id.slice(4)}`, name: `migration ${String(i).padStart(3, "0")}` }));
      rounds = Array.from({ length: made }, (_, k) => views.map((v, i) => message("event", { type: "execution.progress", id: k + 2, at: "", execution: v.id, view: moving(v, i, k) })));
      hear(message("hello", { executions: views.map((v, i) => moving(v, i, 0)), last_event: 1 }));
      await settled();
    },
    /** So many updates, of all migrations or of one of them, one every `every` ms; without a pace they come as fast as they are drawn. */
    async run(updates, every, only = null) {
      frames = every > 0;
      for (let k = 0; k < updates; k++, round++) {
        const began = performance.now(), told = rounds[round % rounds.length];
        if (only === null) told.forEach(hear); else hear(told[only]);
        await settled();
        if (every) await pause(Math.max(0, began + every - performance.now()));
      }
      frames = true;
    },
  };
})();
