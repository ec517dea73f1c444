// One event as a sentence.

import { count, duration } from "./words.js";

const who = (line) => line.generation ?? line.version ?? "it";
const why = (line) => (line.reason ? `: ${line.reason}` : "");
const ends = (line) => [line.from, line.to].filter(Boolean).join(" → ");
const canary = (line) => (line.canary ? `, as a canary with ${line.canary}` : "");
const probation = (line) => (line.bake_s ? `, on probation for ${duration(line.bake_s)}` : "");
const streams = (line) => (typeof line.streams === "number" ? ` with ${count(line.streams, "stream")}` : "");

/** How streams are closed, where somebody has asked for that. */
function paced(line) {
  if (line.over_s === undefined) return "";
  return line.over_s ? `, closed over ${duration(line.over_s)}` : ", closed at once";
}

const SENTENCES = {
  "door.started": (line) => `${who(line)} serves${line.listen ? ` on ${line.listen.join(", ")}` : ""}`,
  "door.restored": (line) => `${who(line)} goes on serving: frontdoor's own process was replaced`,
  "door.stopping": (line) => `stopping${why(line)}`,
  "backend.starting": (line) => `${who(line)} is starting${line.pid ? ` (pid ${line.pid})` : ""}`,
  "backend.ready": (line) =>
    `${who(line)} is ready${line.after_s === undefined ? "" : ` after ${duration(line.after_s)}`}`,
  "backend.exited": (line) => `a process of ${who(line)} has ended${why(line)}`,
  "backend.restarting": (line) =>
    `${who(line)} is started again${line.delay_s ? ` in ${duration(line.delay_s)}` : ""}${why(line)}`,
  "swap.started": (line) => `swap ${line.swap}: ${ends(line)}${canary(line)}${line.note ? ` (${line.note})` : ""}`,
  "swap.ready": (line) => `${line.to ?? who(line)} is ready to be switched to`,
  "swap.switched": (line) => `switched: new streams go to ${line.to ?? who(line)}${probation(line)}`,
  "swap.settled": (line) => `${line.to ?? who(line)} stays: swap ${line.swap} is settled`,
  "swap.stays": (line) => `${line.to ?? who(line)} stays${why(line)}`,
  "swap.failed": (line) =>
    line.swap === undefined
      ? `${who(line)} failed${why(line)}` // at a start: nobody has asked for a swap
      : `swap ${line.swap} failed: ${line.to ?? who(line)} did not become ready${why(line)}`,
  "swap.vetoed": (line) => `swap ${line.swap} to ${line.to ?? who(line)} was vetoed${why(line)}`,
  "swap.aborted": (line) => `swap ${line.swap} to ${line.to ?? who(line)} was aborted before the switch${why(line)}`,
  "swap.rolled_back": (line) => `rolled back: ${ends(line)}${why(line)}`,
  "canary.share": (line) => `canary: ${line.to ?? "it"} gets ${line.share ?? "a share"} of new streams`,
  "drain.started": (line) => `${who(line)} drains${streams(line)}${paced(line)}`,
  "drain.finished": (line) =>
    `${who(line)} is drained${line.closed ? `, ${count(line.closed, "stream")} closed` : ""}`,
  "drain.waits": (line) => `${who(line)}: closing waits${why(line)}`,
  "drain.resumed": (line) => `${who(line)}: closing goes on`,
  "generation.warm": (line) =>
    `${who(line)} is kept warm${line.for_s === undefined ? "" : ` for ${duration(line.for_s)}`}`,
  "generation.stopped": (line) => `${who(line)} is stopped`,
  "hook.failed": (line) => `the hook ${line.hook ?? ""} failed${why(line)}`,
  "config.reloaded": (line) =>
    `config read again: ${line.changed?.length ? line.changed.join(", ") : "nothing has changed"}`,
  "config.refused": (line) => `the config was refused${line.problems ? `: ${line.problems.join("; ")}` : why(line)}`,
  paused: (line) => `paused: clients wait${line.for_s ? `, for ${duration(line.for_s)}` : ""}`,
  resumed: () => "resumed: clients are accepted again",
  "maintenance.on": (line) => `maintenance: requests are answered 503${line.message ? `: ${line.message}` : ""}`,
  "maintenance.off": () => "maintenance is over",
  "limit.reached": (line) => `the limit of connections is reached${why(line)}`,
  "upgrade.started": () => "upgrade: frontdoor's own process is being replaced",
  "upgrade.finished": () => "upgrade finished: frontdoor's own process is a new one",
  "upgrade.failed": (line) => `upgrade failed${why(line)}`,
  "events.dropped": (line) => `(${count(line.count, "event")} not seen: this page was too slow)`,
  "page.broke": () => "the connection to frontdoor broke: asking again",
};

const BAD = new Set([
  "swap.failed",
  "backend.exited",
  "config.refused",
  "hook.failed",
  "limit.reached",
  "upgrade.failed",
]);
const WARN = new Set([
  "swap.vetoed",
  "swap.aborted",
  "swap.rolled_back",
  "paused",
  "maintenance.on",
  "door.stopping",
  "drain.waits",
  "backend.restarting",
]);

/** What it says, to whom it may be new. */
export function sentence(line) {
  const known = SENTENCES[line.event];
  if (known) return known(line);
  const rest = Object.entries(line).filter(([name]) => !["event", "time", "seq", "door"].includes(name));
  return [
    line.event,
    ...rest.map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`),
  ].join(" ");
}

/** "bad", "warn", "good" or "": how loud it is. */
export function loudness(line) {
  if (BAD.has(line.event)) return "bad";
  if (WARN.has(line.event)) return "warn";
  return line.event === "swap.switched" || line.event === "drain.finished" ? "good" : "";
}
