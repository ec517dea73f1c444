// The top of the page: what serves, what drains, is anything wrong, and the figures.

import { byId, el, Rows, say, set } from "./element.js";
import { LEVELS, alerts, verdict } from "./verdict.js";
import { count, rate, size } from "./words.js";

const WORDS = { bad: "Trouble", warn: "Look", busy: "Now", ok: "" };

export class Glance {
  constructor() {
    this.alerts = new Rows(
      byId("alerts"),
      (one) => one.text,
      (one) => ({
        node: el("li", { class: `alert ${one.level}` }, el("b", { text: WORDS[one.level] }), ` ${one.text}`),
      }),
    );
    this.figures = new Rows(
      byId("figures"),
      (one) => one.name,
      (one) => {
        const value = el("dd");
        const term = el("dt", { text: one.name, title: one.title });
        return { node: el("div", {}, term, value), update: (now) => say(value, now.value) };
      },
    );
  }

  show(door, whole, rates, shortly) {
    const { level, verdict: said, detail } = verdict(door, shortly);
    const found = alerts(door, whole);
    const worst = [level, ...found.map((one) => one.level)].sort((one, other) => rank(one) - rank(other))[0];
    set(byId("glance"), "data-level", worst);
    say(byId("verdict"), said);
    say(byId("detail"), detail);
    this.alerts.show(found);
    this.figures.show(figures(door, rates));
    document.title = `${worst === "ok" || worst === "busy" ? "" : "⚠ "}${said} · ${door.name} · frontdoor`;
  }
}

const rank = (level) => Object.keys(LEVELS).indexOf(level);

/** `[{name, value, title}]`: the numbers of a door. */
export function figures(door, rates) {
  const http = door.protocol === "http";
  const ended = door.streams.ended;
  const cut = ["drain_closed", "shutdown", "lost", "backend_gone", "no_backend"].reduce(
    (all, why) => all + (ended[why] ?? 0),
    0,
  );
  const noun = http ? "requests" : "streams";
  return [
    { name: "open", value: door.streams.open.toLocaleString("en"), title: `${noun} open now` },
    ...(http && door.connections
      ? [
          {
            name: "connections",
            value: door.connections.open.toLocaleString("en"),
            title: `${door.connections.idle} of them idle`,
          },
        ]
      : []),
    { name: "new", value: rates ? `${rate(rates.new)}/s` : "–", title: `new ${noun} in a second` },
    { name: "to clients", value: rates ? `${size(rates.down)}/s` : "–", title: "bytes from backends to clients" },
    { name: "from clients", value: rates ? `${size(rates.up)}/s` : "–", title: "bytes from clients to backends" },
    { name: "accepted", value: door.streams.accepted.toLocaleString("en"), title: `${noun} since the start` },
    {
      name: "cut off",
      value: cut.toLocaleString("en"),
      title: `${count(cut, "stream")} ended by frontdoor or for lack of a backend`,
    },
  ];
}
