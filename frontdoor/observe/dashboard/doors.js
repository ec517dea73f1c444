// Which door is looked at. The address has it (#door=NAME), so that a link leads to it.

import { byId, el, Rows, say, set, show } from "./element.js";
import { LEVELS, verdict } from "./verdict.js";

export class Doors {
  constructor(changed) {
    this.name = asked();
    this.rows = new Rows(byId("doors"), (door) => door.name, node);
    window.addEventListener("hashchange", () => {
      this.name = asked();
      changed();
    });
  }

  /** Show those there are; returns the one that is looked at, or null. */
  show(doors) {
    const door = doors.find((one) => one.name === this.name) ?? doors[0] ?? null;
    show(byId("doors"), doors.length > 1);
    this.rows.show(doors.length > 1 ? doors.map((one) => ({ ...one, chosen: one === door })) : []);
    return door;
  }
}

function asked() {
  return new URLSearchParams(location.hash.slice(1)).get("door") ?? "";
}

function node(door) {
  const link = el(
    "a",
    { href: `#door=${encodeURIComponent(door.name)}` },
    el("b", { text: door.name }),
    " ",
    el("span"),
  );
  return {
    node: link,
    update(now) {
      const { level } = verdict(now);
      set(link, "aria-current", now.chosen ? "page" : null);
      set(link, "data-level", level);
      say(link.lastElementChild, level === "ok" ? "" : LEVELS[level]);
    },
  };
}
