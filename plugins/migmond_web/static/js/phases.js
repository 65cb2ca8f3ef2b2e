/** What a migration was busy with, from its milestones. */
const WORDS = { scan: "Scan", copy: "Copy", delete: "Delete sources", directories: "Directories", verify: "Verify", finished: "Finish" };
const seconds = (at) => new Date(at).getTime() / 1000;

/** Phases from milestones: [{name, from, to}], `to` null for the one that lasts. A pause is one of its own. */
export function phases(milestones, finishedAt) {
  const found = [];
  let stage = "";
  const begin = (name, at) => {
    if (found.length) found.at(-1).to = at;
    found.push({ name, from: at, to: null });
  };
  for (const m of milestones) {
    const at = seconds(m.at);
    if (m.kind === "stage") { stage = m.text; begin(stage, at); }
    if (m.kind === "state" && m.text.startsWith("running")) begin(stage || "scan", at);
    if (m.kind === "state" && m.text.startsWith("paused")) begin("paused", at);
  }
  if (found.length && finishedAt) found.at(-1).to = seconds(finishedAt);
  return found.filter((p) => p.to === null || p.to > p.from);
}
export const phaseName = (name) => WORDS[name] || name.charAt(0).toUpperCase() + name.slice(1);
