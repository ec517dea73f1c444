// What this page remembers of one door: how many streams each generation had, over a quarter of an hour, and some
// readings of its counters, of which rates are made. All of it is bounded.

import { moment } from "./words.js";

export const KEPT = 15 * 60 * 1000;
const READINGS = 40; // states from which rates are made: at least four seconds of them
const SPAN = 2900; // milliseconds over which a rate is taken, if there are so many

export class Past {
  constructor() {
    this.samples = []; // {time, open: {id: number}}, in the order of time
    this.gaps = []; // {from, to}: nothing is known of that time
    this.readings = []; // {time, accepted, each: {id: {total, up, down}}}
  }

  /** What frontdoor remembers. */
  begin(samples, name) {
    const theirs = samples
      .filter((sample) => sample.doors[name])
      .map((sample) => ({ time: moment(sample.time), open: sample.doors[name].open }));
    const last = this.samples.at(-1)?.time;
    if (last !== undefined && theirs.length && theirs[0].time > last + 1500) {
      this.gaps.push({ from: last, to: theirs[0].time });
    }
    const known = new Set(this.samples.map((sample) => sample.time));
    this.samples.push(...theirs.filter((sample) => !known.has(sample.time)));
    this.samples.sort((one, other) => one.time - other.time);
    this.trim();
    this.readings = []; // the counters may be those of another process
  }

  /** How it is now: a `door` of the status, and its sample. */
  add(time, door, sample) {
    if (!this.samples.length || this.samples.at(-1).time < time)
      this.samples.push({ time, open: sample?.open ?? {} });
    this.trim();
    const each = {};
    for (const one of door.generations) {
      each[one.id] = { total: one.streams.total, up: one.bytes.up, down: one.bytes.down };
    }
    const before = this.readings.at(-1);
    if (before && door.streams.accepted < before.accepted) this.readings = [];
    this.readings.push({ time, accepted: door.streams.accepted, each });
    if (this.readings.length > READINGS) this.readings.shift();
  }

  trim() {
    const newest = this.samples.at(-1)?.time ?? 0;
    const first = this.samples.findIndex((sample) => sample.time >= newest - KEPT);
    if (first > 1) this.samples.splice(0, first - 1); // the one before tells how it was at the left edge
    this.gaps = this.gaps.filter((gap) => gap.to > newest - KEPT);
  }

  /** New streams, and bytes in each direction, in a second, of the door and of each generation; null: not yet known. */
  rates() {
    const last = this.readings.at(-1);
    if (!last) return null;
    const before = this.readings.findLast((one) => last.time - one.time >= SPAN) ?? this.readings[0];
    const seconds = (last.time - before.time) / 1000;
    if (seconds < 0.9) return null;
    const each = {};
    let [up, down] = [0, 0];
    for (const [id, now] of Object.entries(last.each)) {
      const then = before.each[id] ?? { total: 0, up: 0, down: 0 };
      const one = { new: 0, up: 0, down: 0 };
      for (const [name, key] of [
        ["new", "total"],
        ["up", "up"],
        ["down", "down"],
      ]) {
        one[name] = Math.max(0, now[key] - then[key]) / seconds;
      }
      each[id] = one;
      up += one.up;
      down += one.down;
    }
    return { new: Math.max(0, last.accepted - before.accepted) / seconds, up, down, each };
  }

  /** How many streams of that generation were open at that time; what was last said holds. */
  openAt(id, time) {
    const sample = this.samples.findLast((one) => one.time <= time);
    return sample === undefined ? null : (sample.open[id] ?? 0);
  }
}
