// What a generation's processes print, as it comes. The page keeps so many lines, and says what it left out.

import { Refused } from "./calls.js";
import { byId, el, say, set, show } from "./element.js";
import { clock, count, moment } from "./words.js";

const KEPT = 500;
const HISTORY = 200;
const PAINT = 150; // milliseconds between two times that lines are put into the page
const AGAIN = 2000; // milliseconds until it is asked again, when the answer has ended

export class Logs {
  constructor(calls) {
    this.calls = calls;
    this.lines = byId("log-lines");
    this.choice = byId("logs-of");
    this.follow = byId("logs-follow");
    this.door = "";
    this.version = "";
    this.waiting = [];
    this.left = 0;
    this.painting = 0;
    this.reading = null;
    this.choice.addEventListener("change", () => this.of(this.choice.value));
    this.follow.addEventListener("click", () => this.set(this.follow.getAttribute("aria-pressed") !== "true"));
    this.lines.addEventListener("scroll", () => (this.atEnd = ends(this.lines)));
    this.atEnd = true;
    // A browser has six connections to one address: what nobody sees is to leave some to other tabs.
    this.inView = false;
    this.following = true;
    document.addEventListener("visibilitychange", () => this.look());
    new IntersectionObserver(([entry]) => {
      this.inView = entry.isIntersecting;
      this.look();
    }).observe(byId("logs"));
  }

  /** The generations there are, of a door. */
  offer(door, ids) {
    const known = [...this.choice.options].map((option) => option.value);
    if (door === this.door && known.join() === ids.join()) return;
    const other = door !== this.door;
    this.door = door;
    this.choice.replaceChildren(...ids.map((id) => el("option", { value: id, text: id })));
    if (!other && ids.includes(this.version)) this.choice.value = this.version;
    else if (!other && !this.following) this.choice.value = ""; // it is gone; its lines are still being read
    else if (ids.length) this.of(ids[0]);
  }

  /** Show the output of that generation. */
  of(version) {
    this.version = version;
    this.choice.value = version;
    this.set(true);
  }

  /** Follow it, or stand still. */
  set(following) {
    this.following = following;
    set(this.follow, "aria-pressed", String(following));
    say(this.follow, following ? "Stop" : "Follow");
    this.end();
    this.look();
  }

  /** frontdoor is there again. */
  hurry() {
    this.end();
    this.look();
  }

  /** Read while it is followed and seen; else not. */
  look() {
    const wanted = this.following && this.inView && !document.hidden && this.version !== "";
    if (!wanted) this.end();
    else if (this.reading === null) {
      this.reading = new AbortController();
      this.read(this.reading.signal);
    }
  }

  end() {
    this.reading?.abort();
    this.reading = null;
  }

  async read(signal) {
    this.lines.replaceChildren();
    this.waiting = [];
    this.left = 0;
    this.note("");
    const asked = new URLSearchParams({ door: this.door, version: this.version, history: HISTORY, follow: 1 });
    try {
      for await (const line of this.calls.lines(`v1/logs?${asked}`, signal)) this.take(line);
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Refused) {
        this.note(error.message);
        return;
      }
    }
    if (signal.aborted) return;
    this.note("reconnecting…");
    setTimeout(() => signal.aborted || this.read(signal), AGAIN);
  }

  take(line) {
    if (line.event === "events.dropped") this.left += line.count;
    else this.waiting.push(line);
    if (this.waiting.length > KEPT) {
      this.left += this.waiting.length - KEPT;
      this.waiting.splice(0, this.waiting.length - KEPT);
    }
    this.painting ||= setTimeout(() => this.paint(), PAINT);
  }

  paint() {
    this.painting = 0;
    this.lines.append(...this.waiting.map(node));
    this.waiting = [];
    while (this.lines.childElementCount > KEPT) this.lines.firstElementChild.remove();
    if (this.atEnd) this.lines.scrollTop = this.lines.scrollHeight;
    this.note(this.left ? `${count(this.left, "line")} left out: they came too fast for this page` : "");
  }

  note(text) {
    say(byId("logs-note"), text);
    show(byId("logs-note"), text !== "");
  }
}

function node(line) {
  return el(
    "p",
    {},
    el("time", { datetime: line.time, text: clock(moment(line.time)) }),
    el("span", { class: "quiet", text: String(line.pid ?? "") }),
    el("span", { class: "line", text: line.line ?? "" }),
  );
}

const ends = (box) => box.scrollHeight - box.scrollTop - box.clientHeight < 24;
