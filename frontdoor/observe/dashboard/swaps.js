// The timeline of swaps with their outcomes, the newest first. Each opens its report.

import { byId, el, Rows, say, set, show } from "./element.js";
import { Refused } from "./calls.js";
import { clock, count, duration, moment } from "./words.js";

const SOON = 200; // milliseconds in which several events make one question
const SHOWN = 30;

/** An outcome's mark and loudness; its word is frontdoor's own. */
const OUTCOMES = {
  switched: ["✓", "good"],
  failed: ["✕", "bad"],
  vetoed: ["✕", "warn"],
  aborted: ["■", "warn"],
  rolled_back: ["↩", "warn"],
  "under way": ["…", "busy"],
};

/** The swaps that events tell of, where there are no reports: as these summarise them. */
export function fromEvents(events, door) {
  const found = new Map();
  for (const event of events) {
    if (event.door !== door || event.swap === undefined) continue;
    const known = found.get(event.swap) ?? {
      number: event.swap,
      verb: "swap",
      outcome: "under way",
      started: event.time,
      switched: null,
      ended: null,
      cut: 0,
    };
    if (event.from) known.from ??= event.from;
    if (event.to) known.to ??= event.to;
    const what = event.event.startsWith("swap.") ? event.event.slice(5) : "";
    if (what === "switched") Object.assign(known, { outcome: "switched", switched: event.time });
    else if (what in OUTCOMES) Object.assign(known, { outcome: what, ended: event.time });
    if (event.event === "drain.finished") Object.assign(known, { ended: event.time, cut: event.closed ?? 0 });
    found.set(event.swap, known);
  }
  return [...found.values()].reverse();
}

export class Swaps {
  /** `open(door, number)` shows a report. */
  constructor(calls, open) {
    this.calls = calls;
    this.door = "";
    this.known = [];
    this.reports = true;
    this.rows = new Rows(
      byId("timeline"),
      (one) => `${one.door}/${one.number}`,
      (one) => row(one, open),
    );
    this.soon = 0;
  }

  /** Look at that door, of which these events are known. */
  async look(door, events) {
    this.door = door;
    let known = null;
    try {
      known = (await this.calls.get(`v1/doors/${encodeURIComponent(door)}/reports`)).reports;
    } catch (error) {
      if (!(error instanceof Refused)) return; // nobody answers: it is asked again when somebody does
    }
    if (door !== this.door) return;
    this.reports = known !== null; // without reports the events tell the most of it
    this.known = known ?? fromEvents(events, door);
    this.show(door);
  }

  show(door) {
    this.rows.show(this.known.slice(0, SHOWN).map((one) => ({ ...one, door, report: this.reports })));
    show(byId("no-swaps"), this.known.length === 0);
  }

  /** Something of a swap has happened. */
  stir(events) {
    clearTimeout(this.soon);
    this.soon = setTimeout(() => this.look(this.door, events()), SOON);
  }
}

function row(one, open) {
  const title = el("b");
  const outcome = el("span", { class: "outcome" });
  const detail = el("span", { class: "quiet" });
  const button = el(
    "button",
    { type: "button", class: "swap", onclick: () => open(one.door, one.number) },
    title,
    outcome,
    detail,
  );
  const node = el("li", {}, button);
  return {
    node,
    update(now) {
      const [mark, level] = OUTCOMES[now.outcome] ?? ["?", ""];
      say(title, `${now.number}  ${[now.from, now.to].filter(Boolean).join(" → ")}`);
      say(outcome, `${mark} ${now.outcome.replace("_", " ")}`);
      set(outcome, "data-level", level);
      say(detail, details(now));
      button.disabled = !now.report;
    },
  };
}

function details(one) {
  const words = [one.verb === "swap" ? "" : one.verb, clock(moment(one.started))].filter(Boolean);
  if (one.switched) words.push(`switched after ${duration((moment(one.switched) - moment(one.started)) / 1000)}`);
  if (one.switched && one.ended)
    words.push(`over after ${duration((moment(one.ended) - moment(one.started)) / 1000)}`);
  else if (one.switched) words.push("its drain goes on");
  if (one.cut) words.push(`${count(one.cut, "stream")} cut`);
  return words.join(", ");
}
