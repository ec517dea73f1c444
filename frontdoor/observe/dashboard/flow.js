// The picture of streams flowing to generations over time. Each generation is a band; while new streams go to it, the
// band is full, and from the switch on it is pale: a swap is seen as the old one fading and the new one growing.

import { el, say, set, svg } from "./element.js";
import { clock, count, moment } from "./words.js";

export const SPANS = [
  [120, "2 min"],
  [300, "5 min"],
  [900, "15 min"],
];

const COLOURS = 6; // as many as style.css has
const HELD = 2600; // milliseconds: where two samples are further apart, nothing changed until shortly before the second
const [LEFT, RIGHT, TOP, BOTTOM] = [34, 10, 36, 20];
const ROWS = [TOP - 22, TOP - 8]; // where the words of marks stand: two rows, so that they do not lie on each other

/** The class that has the colour of a generation. */
export function colour(id) {
  return `g${Number(id.split("#").pop()) % COLOURS}`;
}

/**
 * The switches among `events` of a door, in order: `[{time, to, from, what}]`, for the picture. What was switched to
 * and back within a swap are two.
 */
export function switches(events, door) {
  const found = [];
  for (const event of events) {
    if (event.door !== door) continue;
    const time = moment(event.time);
    if (event.event === "swap.switched") found.push({ time, from: event.from, to: event.to, what: "switched" });
    else if (event.event === "door.started") found.push({ time, to: event.generation, what: "started" });
    else if (event.event === "swap.rolled_back") {
      // A rollback says so right after its own switch; what was withdrawn before one has nothing to switch.
      const last = found.findLast((one) => one.to);
      if (last && last.to === event.from) found.push({ time, from: event.from, to: event.to, what: "back" });
    } else if (event.event === "swap.failed")
      found.push({ time, tried: event.to ?? event.generation, what: "failed" });
  }
  return found;
}

export class Flow {
  constructor(parent) {
    this.grid = svg("g", { class: "grid" });
    this.bands = svg("g", { class: "bands" });
    this.marks = svg("g", { class: "marks" });
    this.svg = svg("svg", { role: "img", preserveAspectRatio: "none" }, this.grid, this.bands, this.marks);
    this.empty = el("p", { class: "empty", text: "No streams yet. When clients connect, they are seen here." });
    this.legend = el("ul", { class: "legend", "aria-hidden": "true" });
    parent.append(this.svg, this.empty, this.legend);
    this.parent = parent;
    this.seconds = 300;
    this.again = () => {};
    new ResizeObserver(() => this.again()).observe(parent);
  }

  /** `active`: who is active now, `now`: milliseconds since the epoch on frontdoor's clock. */
  draw(past, marks, active, now) {
    this.again = () => this.draw(past, marks, active, now);
    const width = Math.max(240, Math.round(this.svg.clientWidth || this.parent.clientWidth));
    const height = Math.round(this.svg.clientHeight || 260);
    set(this.svg, "viewBox", `0 0 ${width} ${height}`);
    const from = now - this.seconds * 1000;
    const columns = thinned(past.samples, from, now, width);
    const ids = [
      ...new Set(columns.flatMap((sample) => Object.keys(sample.open).filter((id) => sample.open[id] > 0))),
    ];
    ids.sort((one, other) => number(one) - number(other)); // the oldest below: the new one grows on top of it
    const most = columns.reduce((most, one) => Math.max(most, sum(one.open)), 0);
    const top = nice(most);
    const scale = {
      x: (time) => LEFT + ((time - from) / (now - from)) * (width - LEFT - RIGHT),
      y: (value) => height - BOTTOM - (value / top) * (height - TOP - BOTTOM),
    };
    this.drawGrid(scale, top, from, now, width, height);
    this.drawBands(scale, columns, ids, marks, active, now);
    this.drawMarks(scale, past.gaps, marks, from, now, width, height);
    this.empty.hidden = most > 0;
    this.describe(columns.at(-1), ids, active, marks, from);
  }

  drawGrid(scale, top, from, now, width, height) {
    const lines = [];
    const steps = top % 4 === 0 ? 4 : top % 5 === 0 ? 5 : top % 3 === 0 ? 3 : top % 2 === 0 ? 2 : 1;
    for (let step = 0; step <= steps; step += 1) {
      const value = (top * step) / steps;
      const y = Math.round(scale.y(value)) + 0.5;
      lines.push(svg("line", { x1: LEFT, x2: width - RIGHT, y1: y, y2: y, class: step ? "" : "base" }));
      lines.push(svg("text", { x: LEFT - 6, y: y + 3.5, "text-anchor": "end", text: short(value) }));
    }
    const every = this.seconds <= 120 ? 30000 : this.seconds <= 300 ? 60000 : 180000;
    const wide = width < 420 ? 2 : 1;
    for (let time = Math.ceil(from / every) * every, step = 0; time <= now; time += every, step += 1) {
      const x = scale.x(time);
      lines.push(svg("line", { x1: x, x2: x, y1: height - BOTTOM, y2: height - BOTTOM + 4, class: "base" }));
      if (step % wide === 0 && x > LEFT + 16 && x < width - RIGHT - 16) {
        const text = every < 60000 ? clock(time) : clock(time).slice(0, 5);
        lines.push(svg("text", { x, y: height - 5, "text-anchor": "middle", text }));
      }
    }
    this.grid.replaceChildren(...lines);
  }

  drawBands(scale, columns, ids, marks, active, now) {
    const points = stacked(columns, ids, now, Math.max(HELD, (this.seconds * 2000) / this.svg.clientWidth || 0));
    const turns = marks.filter((mark) => mark.to);
    const first = turns[0]?.from ?? (turns.length ? null : active);
    const paths = [];
    for (const [index, id] of ids.entries()) {
      const served = spans(id, turns, first);
      paths.push(svg("path", { class: `band pale ${colour(id)}`, d: area(points, index, scale) }));
      for (const [begin, end] of served) {
        const part = cut(points, begin, end);
        if (part.length > 1)
          paths.push(svg("path", { class: `band full ${colour(id)}`, d: area(part, index, scale) }));
      }
      paths.push(svg("path", { class: `edge ${colour(id)}`, d: edge(points, index, scale) }));
    }
    this.bands.replaceChildren(...paths);
  }

  drawMarks(scale, gaps, marks, from, now, width, height) {
    const nodes = [];
    for (const gap of gaps) {
      const [x1, x2] = [Math.max(LEFT, scale.x(gap.from)), Math.min(width - RIGHT, scale.x(gap.to))];
      if (x2 - x1 < 1) continue;
      nodes.push(svg("rect", { class: "gap", x: x1, y: TOP, width: x2 - x1, height: height - TOP - BOTTOM }));
      if (x2 - x1 > 70)
        nodes.push(
          svg("text", { class: "quiet", x: (x1 + x2) / 2, y: TOP + 14, "text-anchor": "middle", text: "not known" }),
        );
    }
    const free = ROWS.map(() => LEFT);
    for (const mark of marks) {
      if (mark.time < from || mark.time > now || mark.what === "started") continue;
      const x = Math.round(scale.x(mark.time)) + 0.5;
      const text = { failed: `✕ ${mark.tried ?? "swap"}`, back: `↩ ${mark.to}` }[mark.what] ?? `→ ${mark.to}`;
      const half = text.length * 3.6;
      const middle = Math.min(Math.max(x, LEFT + half), width - RIGHT - half);
      const row = free.findLastIndex((end) => middle - half >= end); // where none has room, the line has no words
      nodes.push(
        svg("line", {
          class: `mark ${mark.what}`,
          x1: x,
          x2: x,
          y1: row < 0 ? TOP : ROWS[row] + 4,
          y2: height - BOTTOM,
        }),
      );
      if (row < 0) continue;
      nodes.push(svg("text", { class: `mark ${mark.what}`, x: middle, y: ROWS[row], "text-anchor": "middle", text }));
      free[row] = middle + half + 8;
    }
    this.marks.replaceChildren(...nodes);
  }

  /** The same in words: beside the picture, and for whoever does not see it. */
  describe(last, ids, active, marks, from) {
    const open = last?.open ?? {};
    const shown = ids.filter((id) => open[id] > 0 || id === active);
    if (active && !shown.includes(active)) shown.push(active);
    const items = shown.toReversed().map((id) => `${id} ${(open[id] ?? 0).toLocaleString("en")}`);
    const known = items.join("/");
    if (this.said !== known) {
      this.said = known;
      this.legend.replaceChildren(
        ...shown
          .toReversed()
          .map((id) =>
            el(
              "li",
              {},
              el("i", { class: `swatch ${colour(id)}${id === active ? "" : " pale"}` }),
              el("b", { text: id }),
              ` ${(open[id] ?? 0).toLocaleString("en")}`,
            ),
          ),
      );
    }
    const recent = marks.filter((mark) => mark.time >= from && mark.what !== "started").length;
    const words = shown.map((id) => `${id}${id === active ? " (active)" : ""} ${count(open[id] ?? 0, "stream")}`);
    set(
      this.svg,
      "aria-label",
      `Open streams by generation. Now: ${words.join(", ") || "none"}. ${count(recent, "swap")} in the time shown.`,
    );
  }
}

// -- pure: samples in, points and paths out ---------------------------------------------------------------------------

const number = (id) => Number(id.split("#").pop());
const sum = (open) => Object.values(open).reduce((all, one) => all + one, 0);
const short = (value) => (value >= 10000 ? `${value / 1000}k` : Number.isInteger(value) ? String(value) : "");

/** The next round number for the top of the scale. */
export function nice(most) {
  if (most <= 4) return 4;
  const power = 10 ** Math.floor(Math.log10(most));
  return (
    [1, 1.2, 1.5, 2, 3, 4, 5, 6, 8, 10]
      .map((step) => step * power)
      .find((step) => step >= most && Number.isInteger(step)) ?? most
  );
}

/** Those samples that are seen, no more than one a pixel, and the one before them. */
export function thinned(samples, from, now, width) {
  const found = [];
  let before = null;
  let last = -1;
  for (const sample of samples) {
    if (sample.time > now) break;
    const pixel = Math.floor(((sample.time - from) / (now - from)) * width);
    if (sample.time < from) before = sample;
    else if (pixel !== last) found.push(sample);
    else found[found.length - 1] = sample;
    last = pixel;
  }
  return before ? [{ time: from, open: before.open }, ...found] : found;
}

/** Each time with its heights, `[{time, at: [0, of the first, …]}]`; they stay where none came for `held` ms. */
function stacked(columns, ids, now, held) {
  const points = [];
  for (const sample of columns) {
    const at = [0];
    for (const id of ids) at.push(at.at(-1) + (sample.open[id] ?? 0));
    const before = points.at(-1);
    if (before && sample.time - before.time > held) points.push({ time: sample.time - 1000, at: before.at });
    points.push({ time: sample.time, at });
  }
  const last = points.at(-1);
  if (last && last.time < now) points.push({ time: now, at: last.at });
  return points;
}

/** When new streams went to that generation: `[[begin, end], …]`. */
export function spans(id, turns, first) {
  const found = [];
  let begin = first === id ? -Infinity : null;
  for (const turn of turns) {
    if (begin === null && turn.to === id) begin = turn.time;
    else if (begin !== null && turn.to !== id) {
      found.push([begin, turn.time]);
      begin = null;
    }
  }
  if (begin !== null) found.push([begin, Infinity]);
  return found;
}

/** The points from `begin` to `end`, with one made at either border. */
function cut(points, begin, end) {
  const part = points.filter((point) => point.time >= begin && point.time <= end);
  for (const [time, put] of [
    [begin, "unshift"],
    [end, "push"],
  ]) {
    const after = points.findIndex((point) => point.time > time);
    if (after < 1) continue;
    const [one, other] = [points[after - 1], points[after]];
    const way = (time - one.time) / (other.time - one.time);
    part[put]({ time, at: one.at.map((value, index) => value + (other.at[index] - value) * way) });
  }
  return part;
}

function line(points, index, scale) {
  return points.map((point) => `${scale.x(point.time).toFixed(1)} ${scale.y(point.at[index]).toFixed(1)}`);
}

function area(points, index, scale) {
  if (points.length < 2) return "";
  return `M${line(points, index + 1, scale).join("L")}L${line(points.toReversed(), index, scale).join("L")}Z`;
}

/** The upper border, where there is anything below it. */
function edge(points, index, scale) {
  let path = "";
  let drawing = false;
  for (const [place, point] of points.entries()) {
    const some = (one) => one !== undefined && one.at[index + 1] > one.at[index];
    const here = some(point) || some(points[place - 1]) || some(points[place + 1]);
    if (here)
      path += `${drawing ? "L" : "M"}${scale.x(point.time).toFixed(1)} ${scale.y(point.at[index + 1]).toFixed(1)}`;
    drawing = here;
  }
  return path;
}
