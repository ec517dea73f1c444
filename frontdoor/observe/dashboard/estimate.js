// When a drain will be over: from how many of its streams have ended in the last minute, and from its deadline.

import { about, count, duration, roughly } from "./words.js";

const BACK = 60000; // milliseconds that are looked at
const SURE = 5; // so many must have ended, or a quarter, before anything is guessed

/**
 * `open` now; `open` as it was `back` milliseconds ago. Seconds until none is left at this pace; null: too few have
 * ended to tell.
 */
export function left(now, then, back) {
  const ended = then - now;
  if (now === 0) return 0;
  if (ended <= 0 || back <= 0 || ended < Math.min(SURE, then / 4)) return null;
  return (now * back) / 1000 / ended;
}

/** The drain of a `generation` in words; `since`: the milliseconds since the epoch when it began, `now` likewise. */
export function drainInWords(generation, past, since, now) {
  const open = generation.streams.open;
  if (open === 0) return "its last stream has ended";
  const drain = generation.drain ?? {};
  const back = Math.min(BACK, Math.max(0, now - since));
  const then = past.openAt(generation.id, now - back);
  const guess = then === null ? null : left(open, then, back);
  const latest = drain.deadline_s ?? Infinity;
  const words = [];
  const over = `${back >= BACK ? "in the last minute" : `in ${duration(back / 1000)}`}`;
  const ended = then === null ? 0 : Math.max(0, then - open);
  if (drain.closes_from_s === 0 && latest < Infinity && !drain.waits) {
    words.push(`they are being closed: all are in ${duration(latest)}`);
  } else {
    if (guess === null) words.push(`no estimate: ${ended ? `only ${ended}` : "none"} ended ${over}`);
    else if (guess >= latest) words.push(`${ended} ended ${over}: slower than the deadline`);
    else words.push(`${about(guess)} left at this pace (${ended} ended ${over})`);
    if (drain.waits) words.push(`closing waits: ${drain.waits}`);
    else if (latest === Infinity) words.push("no deadline: it waits as long as they last");
    else {
      const begins = drain.closes_from_s ? `closing begins in ${duration(drain.closes_from_s)}, ` : "";
      words.push(`${begins}all are closed in ${duration(latest)}`);
    }
  }
  if (drain.closed) words.push(`${count(drain.closed, "stream")} closed so far`);
  return words.join("; ");
}

/** The shortest way to say it: "about 4 min", or "" where nothing can be said. */
export function shortly(generation, past, since, now) {
  const back = Math.min(BACK, Math.max(0, now - since));
  const then = past.openAt(generation.id, now - back);
  const guess = then === null ? null : left(generation.streams.open, then, back);
  const latest = generation.drain?.deadline_s ?? Infinity;
  if (guess !== null && guess < latest) return `${about(guess)} left`;
  return latest < Infinity ? `${roughly(latest)} at most` : "";
}
