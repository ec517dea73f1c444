// One glance: what serves, what drains, is anything wrong. Pure: a door of the status in, words out.

import { count, duration } from "./words.js";

/** Levels, the worst first: what the page's colour, mark and word follow. */
export const LEVELS = { bad: "not serving", warn: "look", busy: "changing", ok: "serving" };

/** `{level, verdict, detail}` of a door. `shortly(generation)`: how long its drain takes, in words. */
export function verdict(door, shortly = () => "") {
  const active = door.generations.find((one) => one.id === door.active);
  const draining = door.generations.filter((one) => one.state === "draining" && one.streams.open > 0);
  const drains = draining.map((one) => {
    const time = shortly(one);
    return `${one.id} drains: ${count(one.streams.open, "stream")} left${time ? `, ${time}` : ""}`;
  });
  const tail = drains.join(" · ");
  if (door.state === "stopping") {
    const open = door.streams.open;
    return {
      level: "warn",
      verdict: "Stopping",
      detail: `no new streams; ${count(open, "stream")} finish${open === 1 ? "es" : ""}`,
    };
  }
  if (!active) {
    if (door.state === "starting") {
      return { level: "busy", verdict: "Starting", detail: "no version is ready yet; clients wait" };
    }
    return { level: "bad", verdict: "Nothing serves", detail: "clients wait, and are closed when their time is up" };
  }
  if (!active.processes.some((one) => one.state === "up")) {
    return { level: "bad", verdict: `${active.id} is down`, detail: "no process of it is up; clients wait" };
  }
  if (door.paused) {
    const left = door.paused_for_s;
    const until = left === null || left === undefined ? "until somebody resumes" : `for another ${duration(left)}`;
    return { level: "warn", verdict: "Paused", detail: `${active.id} gets no new streams ${until}; clients wait` };
  }
  if (door.maintenance) {
    return {
      level: "warn",
      verdict: "In maintenance",
      detail: `requests are answered 503: ${door.maintenance.message}`,
    };
  }
  const canary = door.canary;
  if (canary) {
    const detail = [`${canary.base} the rest`, nextStep(canary), tail].filter(Boolean).join(" · ");
    return { level: "busy", verdict: `Canary: ${canary.generation} gets ${canary.share} of new streams`, detail };
  }
  if (door.swap) {
    const swap = door.swap;
    if (swap.bake_left_s !== undefined) {
      const detail = [`it is switched back if it fails: another ${duration(swap.bake_left_s)}`, tail];
      return {
        level: "busy",
        verdict: `${active.id} serves, on probation`,
        detail: detail.filter(Boolean).join(" · "),
      };
    }
    const detail = [
      `swap ${swap.number} to ${swap.to ?? "it"}: ${swap.phase}, for ${duration(swap.elapsed_s)}`,
      tail,
    ];
    return { level: "busy", verdict: `${active.id} serves`, detail: detail.filter(Boolean).join(" · ") };
  }
  if (tail) return { level: "busy", verdict: `${active.id} serves`, detail: tail };
  return { level: "ok", verdict: `${active.id} serves`, detail: "nothing drains, nothing is being changed" };
}

function nextStep(canary) {
  const share = parseFloat(canary.share);
  const more = canary.steps.filter((step) => parseFloat(step) > share);
  if (canary.next_step_s === null || !more.length) return "until somebody promotes it or rolls back";
  return `${more[0]} in ${duration(canary.next_step_s)}`;
}

/** What is wrong, or may be: `[{level, text}]`, the worst first. */
export function alerts(door, whole) {
  const found = [];
  if (door.trouble) found.push({ level: "bad", text: door.trouble });
  for (const one of door.generations) {
    if (one.state === "failed" && !door.trouble)
      found.push({ level: "warn", text: `${one.id} failed: ${one.reason ?? "no reason was given"}` });
    const down = one.processes.filter((process) => process.state !== "up" && process.state !== "ready");
    if (one.id === door.active && down.length && down.length < one.processes.length) {
      found.push({
        level: "warn",
        text: `${one.id}: ${down.length} of ${one.processes.length} processes not up`,
      });
    }
  }
  if (door.limit?.reached) {
    found.push({
      level: "warn",
      text: `the limit of ${count(door.limit.connections, "connection")} is reached: more clients wait`,
    });
  }
  if (whole.vault?.full) {
    found.push({
      level: "warn",
      text: `the vault is full: ${count(whole.vault.streams, "stream")} would live through a crash, no more`,
    });
  }
  for (const one of whole.earlier ?? []) {
    found.push({
      level: "busy",
      text: `the door process before (pid ${one.pid}) finishes ${count(one.requests, "request")}`,
    });
  }
  const lost = Object.values(whole.log ?? {}).reduce((sum, number) => sum + number, 0);
  if (lost)
    found.push({
      level: "warn",
      text: `the log has lost ${count(lost, "line")}: what it is written to is too slow, full or broken`,
    });
  return found;
}

/** What a generation is in the midst of, besides its state: "on probation for 4 s more", "canary, 5%". */
export function role(generation, door) {
  const words = [];
  if (door.canary?.generation === generation.id) words.push(`canary, ${door.canary.share} of new streams`);
  else if (generation.id === door.active && door.swap?.bake_left_s !== undefined) {
    words.push(`on probation for ${duration(door.swap.bake_left_s)} more`);
  }
  if (generation.state === "warm") {
    const left = generation.warm_for_s;
    words.push(left === null ? "kept for a rollback" : `kept for a rollback, stops in ${duration(left)}`);
  }
  return words.join(", ");
}
