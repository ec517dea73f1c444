// What exactly will happen when a button is pressed, in words. Pure: a door of the status in, a sentence out; "" is
// that it cannot be done.

import { count, duration } from "./words.js";

const REST = "until they end or the drain's deadline comes";

/** Whether a generation is meant by that: its version, or its id. */
export const matches = (one, version) => one.id === version || one.version === version;

/** Whether new streams could go to it at once. */
export const still = (one) => ["draining", "warm"].includes(one.state);

export const isActive = (door, version) =>
  door.generations.some((one) => one.id === door.active && one.version === version);

/** What is known of a version: where it runs. */
export function known(door, version) {
  const there = door.generations.filter(
    (one) => one.version === version && !["stopped", "failed"].includes(one.state),
  );
  return there.map((one) => `${one.id} ${one.state}`).join(", ");
}

/** `runs`: the generation that is used, instead of starting one; null: one is started. */
export function swapMeans(door, version, runs) {
  const begin = runs
    ? `New streams will go to ${runs.id} at once.`
    : `A new generation of ${version.split("#")[0]} will be started. When it is ready, new streams go to it; ` +
      "if it does not become ready, nothing changes.";
  const active = door.generations.find((one) => one.id === door.active);
  if (door.swap) return `Swap ${door.swap.number} is under way: this one will be refused until that has ended.`;
  if (!active) return `${begin} Nothing serves now.`;
  const open = active.streams.open;
  if (!open) return `${begin} ${active.id} has no open stream.`;
  const stay = open === 1 ? "The 1 open stream" : `The ${count(open, "open stream")}`;
  return `${begin} ${stay} of ${active.id} stay${open === 1 ? "s" : ""} there ${REST}.`;
}

export function rollbackMeans(door) {
  const swap = door.swap;
  if (swap && swap.bake_left_s === undefined) {
    const under = `Swap ${swap.number} to ${swap.to ?? "the new generation"} is under way: it will be ended.`;
    return `${under} ${swap.from ?? "The old one"} goes on serving.`;
  }
  const back = swap?.from ?? door.previous;
  if (!back) return "";
  const runs = door.generations.some((one) => one.id === back && still(one));
  const how = runs
    ? `${back} still runs: new streams will go to it at once.`
    : `${back} does not run any more: its version will be started again, and new streams go to it when it is ready.`;
  return `${how} Streams that are open on ${door.active} stay there ${REST}.`;
}

export function promoteMeans({ canary }) {
  if (!canary) return "";
  const go = `All new streams will go to ${canary.generation}, and none to ${canary.base} any more.`;
  return `${go} Streams that are open stay where they are.`;
}

/** `seconds`: for how long; null: until somebody resumes. */
export function pauseMeans(door, seconds) {
  const until = seconds === null ? "Until somebody resumes" : `For ${duration(seconds)}`;
  const open = door.streams.open;
  return [
    `${until} no new client is accepted: new clients wait in the queue, nobody is refused.`,
    open ? `The ${count(open, "open stream")} go${open === 1 ? "es" : ""} on.` : "No stream is open.",
    door.protocol === "http"
      ? "Requests on open connections wait too, and are answered 503 if that lasts too long."
      : "",
  ].join(" ");
}

export function drainMeans(door, id, seconds) {
  const one = door.generations.find((each) => each.id === id);
  if (!one || one.state !== "draining") return "";
  const how = seconds === 0 ? "closed at once" : `closed evenly over ${duration(seconds)}`;
  const next = `their clients have to connect again, and get ${door.active ?? "whatever serves then"}`;
  return `${count(one.streams.open, "stream")} of ${id} will be ${how}; ${next}. This cannot be taken back.`;
}
