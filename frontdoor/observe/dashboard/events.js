// The last events in words, the newest first.

import { byId, el, show } from "./element.js";
import { loudness, sentence } from "./sentences.js";
import { clock, moment } from "./words.js";

const KEPT = 200;

export class Events {
  constructor() {
    this.all = []; // the oldest first
    this.known = new Set();
    this.list = byId("event-lines");
    this.door = null;
  }

  /** Those that frontdoor remembers: what was known already is not shown twice. */
  begin(events) {
    for (const event of events) this.keep(event);
    this.show(this.door);
  }

  /** One that has just happened. Returns whether it is new. */
  add(event) {
    if (!this.keep(event)) return false;
    if (this.concerns(event)) {
      this.list.prepend(line(event));
      if (this.list.childElementCount > KEPT) this.list.lastElementChild.remove();
      show(byId("no-events"), false);
    }
    return true;
  }

  keep(event) {
    const key = `${event.time}/${event.seq}/${event.event}`;
    if (this.known.has(key)) return false;
    this.known.add(key);
    this.all.push(event);
    if (this.all.length > KEPT * 2) {
      for (const old of this.all.splice(0, KEPT)) this.known.delete(`${old.time}/${old.seq}/${old.event}`);
    }
    return true;
  }

  concerns(event) {
    return event.door === undefined || event.door === this.door;
  }

  show(door) {
    this.door = door;
    const shown = this.all
      .filter((event) => this.concerns(event))
      .slice(-KEPT)
      .reverse();
    this.list.replaceChildren(...shown.map(line));
    show(byId("no-events"), shown.length === 0);
  }
}

function line(event) {
  return el(
    "li",
    { "data-level": loudness(event) || null, title: event.event },
    el("time", { datetime: event.time, text: clock(moment(event.time)) }),
    el("span", { text: sentence(event) }),
  );
}
