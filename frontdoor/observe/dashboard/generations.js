// The generations: state, streams, rates, processes, and what each is in the midst of.

import { byId, el, Rows, say, set, show } from "./element.js";
import { colour } from "./flow.js";
import { role } from "./verdict.js";
import { MARKS, count, duration, moment, rate, size } from "./words.js";

const SLOW = 250; // milliseconds from which on a dial is worth a word

export class Generations {
  /** `drain(id)` and `logs(id)` are what its buttons do. */
  constructor(drain, logs) {
    this.rows = new Rows(
      byId("cards"),
      (item) => item.one.id,
      (item) => card(item, drain, logs),
    );
  }

  /** `shortly(generation)`: how long its drain takes, in words. */
  show(door, rates, shortly, now, writable) {
    const most = Math.max(1, ...door.generations.map((one) => one.streams.open));
    this.rows.show(
      door.generations.map((one) => ({
        one,
        door,
        most,
        now,
        writable,
        rates: rates?.each[one.id],
        drain: one.state === "draining" ? shortly(one) : "",
      })),
    );
  }
}

function card({ one }, drain, logs) {
  const parts = {
    state: el("span", { class: "state" }),
    role: el("span", { class: "role" }),
    open: el("b", { class: "open" }),
    bar: el("i"),
    now: el("span", { class: "now" }),
    since: el("span"),
    processes: el("ul", { class: "processes" }),
    notes: el("p", { class: "notes" }),
  };
  const button = el("button", {
    type: "button",
    text: "Drain…",
    "aria-label": `Drain ${one.id}…`,
    onclick: () => drain(one.id),
  });
  const output = el("button", {
    type: "button",
    text: "Output",
    "aria-label": `Output of ${one.id}`,
    onclick: () => logs(one.id),
  });
  const moves = new Rows(
    parts.now,
    (one) => one.name,
    () => {
      const span = el("span");
      return { node: span, update: (one) => say(span, one.text) };
    },
  );
  const processes = new Rows(parts.processes, (process) => process.socket, processNode);
  const node = el(
    "li",
    { class: `card ${colour(one.id)}` },
    el("h3", {}, el("i", { class: "swatch" }), el("span", { text: one.id })),
    el("p", { class: "what" }, parts.state, parts.role),
    el("p", { class: "streams" }, parts.open, el("span", { class: "bar", "aria-hidden": "true" }, parts.bar)),
    el("p", { class: "rates" }, parts.now, parts.since),
    parts.processes,
    el("p", { class: "buttons" }, output, button),
    parts.notes,
  );
  return {
    node,
    update(item) {
      const it = item.one;
      set(node, "data-state", it.state);
      say(parts.state, `${MARKS[it.state] ?? "?"} ${it.state}`);
      say(parts.role, role(it, item.door));
      say(parts.open, count(it.streams.open, "stream"));
      show(parts.bar.parentElement, it.streams.open > 0);
      parts.bar.style.width = `${(100 * it.streams.open) / item.most}%`;
      set(node.querySelector(".swatch"), "class", `swatch${it.id === item.door.active ? "" : " pale"}`);
      moves.show(rates(item));
      say(parts.since, `${it.streams.total.toLocaleString("en")} in all; ${it.state} for ${age(item)}`);
      processes.show(it.processes);
      const notes = [it.reason ? `failed: ${it.reason}` : "", item.drain, conduct(it)].filter(Boolean);
      say(parts.notes, notes.join(" · "));
      show(parts.notes, notes.length > 0);
      show(button, it.state === "draining");
      button.disabled = !item.writable;
    },
  };
}

const age = ({ one, now }) => duration(Math.max(0, Math.floor((now - moment(one.since)) / 1000)));

function processNode() {
  const text = el("span");
  const node = el("li", {}, text);
  return {
    node,
    update(process) {
      set(node, "data-up", process.state === "up" ? "yes" : "no");
      const pid = process.pid ? `pid ${process.pid}` : process.external ? "external" : "no process";
      say(text, `${pid} ${process.state}${process.restarts ? `, ${count(process.restarts, "restart")}` : ""}`);
      set(node, "title", process.socket);
    },
  };
}

/** What it moves now, `[{name, text}]`; all that it has moved, while that is not known. */
function rates({ one, rates: now }) {
  if (["failed", "stopped"].includes(one.state) && !one.streams.total) return [];
  if (!now) return [{ name: "all", text: `${size(one.bytes.down)} down, ${size(one.bytes.up)} up` }];
  return [
    ...(one.state === "active" || now.new ? [{ name: "new", text: `${rate(now.new)} new/s` }] : []),
    { name: "down", text: `↓ ${size(now.down)}/s` },
    { name: "up", text: `↑ ${size(now.up)}/s` },
  ];
}

/** How it has failed its streams; "" where it has not. */
function conduct(one) {
  const { dials = 0, early_closes: early = 0, crashes = 0 } = one.failures ?? {};
  const slowest = one.dial_ms?.slowest ?? 0;
  return [
    dials ? `${count(dials, "dial")} failed` : "",
    early ? `${count(early, "stream")} closed early` : "",
    crashes ? `${crashes} crash${crashes > 1 ? "es" : ""}` : "",
    slowest >= SLOW ? `its slowest dial took ${Math.round(slowest)} ms` : "",
  ]
    .filter(Boolean)
    .join(", ");
}
