// What holds a drain: the oldest streams of each generation that drains.

import { byId, el, Rows, say, show } from "./element.js";
import { colour } from "./flow.js";
import { count, duration, size } from "./words.js";

const COLUMNS = [
  ["client", (stream) => stream.client ?? "–"],
  ["open for", (stream) => duration(stream.age_s)],
  ["idle for", (stream) => duration(stream.idle_s)],
  ["to client", (stream) => size(stream.bytes.down)],
  ["from client", (stream) => size(stream.bytes.up)],
];

export class Drains {
  constructor() {
    this.groups = new Rows(byId("holds"), (item) => item.one.id, group);
  }

  show(door, holds, drains) {
    const items = door.generations
      .filter((one) => one.state === "draining" && one.streams.open > 0)
      .map((one) => ({ one, streams: holds?.[one.id] ?? [], words: drains(one) }));
    show(byId("drains"), items.length > 0);
    this.groups.show(items);
  }
}

function group({ one }) {
  const words = el("p", { class: "words" });
  const more = el("p", { class: "quiet" });
  const body = el("tbody");
  const table = el(
    "table",
    {},
    el("caption", { text: `The oldest streams of ${one.id}` }),
    el("thead", {}, el("tr", {}, ...COLUMNS.map(([name]) => el("th", { scope: "col", text: name })))),
    body,
  );
  const rows = new Rows(body, (stream) => String(stream.id), row);
  return {
    node: el(
      "div",
      { class: `drain ${colour(one.id)}` },
      el("h3", {}, el("i", { class: "swatch pale" }), el("span", { text: one.id })),
      words,
      el("div", { class: "table" }, table),
      more,
    ),
    update(item) {
      say(words, `${count(item.one.streams.open, "stream")} left; ${item.words}`);
      rows.show(item.streams);
      const rest = item.one.streams.open - item.streams.length;
      show(more, rest > 0);
      say(more, `and ${rest.toLocaleString("en")} more`);
    },
  };
}

function row() {
  const cells = COLUMNS.map(([name]) => el("td", { "data-name": name }));
  return {
    node: el("tr", {}, ...cells),
    update(stream) {
      COLUMNS.forEach(([, value], index) => say(cells[index], value(stream)));
    },
  };
}
