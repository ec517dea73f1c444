// The page: what frontdoor says is taken in here, and handed to whoever shows a part of it.

import { Access } from "./access.js";
import { Asked } from "./asked.js";
import { Calls } from "./calls.js";
import { Changes } from "./changes.js";
import { Doors } from "./doors.js";
import { Drains } from "./drains.js";
import { byId, el, say, set, show } from "./element.js";
import { drainInWords, shortly } from "./estimate.js";
import { Events } from "./events.js";
import { Flow, SPANS, switches } from "./flow.js";
import { Generations } from "./generations.js";
import { Glance } from "./glance.js";
import { Live } from "./live.js";
import { Logs } from "./logs.js";
import { Past } from "./past.js";
import { Question } from "./question.js";
import { Report } from "./report.js";
import { Swaps } from "./swaps.js";
import { duration, moment } from "./words.js";

const CONTACT = { live: "● live", reconnecting: "◌ reconnecting…", asleep: "◌ asleep: nobody looked" };
const OF_A_SWAP = /^(swap|drain|canary|generation)\./;

class Page {
  constructor() {
    this.state = null; // the last live.state
    this.news = null; // the last live.past, until a state says whose it is
    this.heard = 0; // when that was, on this page's own clock
    this.pasts = new Map();
    this.access = new Access();
    const calls = new Calls(() => this.access.token);
    this.access.calls = calls;
    this.access.changed = (wrong) => this.mayChange(wrong);
    this.question = new Question();
    this.asked = new Asked(calls, () => this.access.ask());
    this.changes = new Changes(this.question, this.asked, (name) => this.doorNow(name));
    this.door = null;
    this.report = new Report(calls);
    this.swaps = new Swaps(calls, (door, number) => this.report.open(door, number));
    this.events = new Events();
    this.logs = new Logs(calls);
    this.glance = new Glance();
    this.generations = new Generations(
      (id) => this.changes.drain(id),
      (id) => this.output(id),
    );
    this.drains = new Drains();
    this.flow = new Flow(byId("picture"));
    this.doors = new Doors(() => this.look());
    this.live = new Live(
      (line) => this.take(line),
      (state, before) => this.contact(state, before),
    );
    this.spans();
    byId("unlock").addEventListener("click", () => this.unlock());
    byId("lock").addEventListener("click", () => this.access.lock());
  }

  start() {
    this.live.start();
    this.access.ask();
  }

  // -- what comes in --------------------------------------------------------------------------------------------------

  take(line) {
    if (line.event === "live.past") this.news = line;
    else if (line.event === "live.state") this.update(line);
    else if (this.events.add(line) && OF_A_SWAP.test(line.event)) this.swaps.stir(() => this.events.all);
  }

  update(state) {
    const another = this.state !== null && this.state.status.pid !== state.status.pid;
    if (another) {
      this.pasts.clear(); // it is not the same frontdoor any more
      this.events = new Events();
    }
    if (this.news) {
      this.events.begin(this.news.events ?? []);
      for (const door of state.status.doors) this.past(door.name).begin(this.news.samples ?? [], door.name);
      this.news = null;
    }
    this.state = state;
    this.heard = performance.now();
    const time = moment(state.time);
    for (const door of state.status.doors) this.past(door.name).add(time, door, state.sample?.doors[door.name]);
    this.look();
  }

  doorNow(name = this.door?.name) {
    return this.state?.status.doors.find((one) => one.name === name) ?? null;
  }

  past(name) {
    if (!this.pasts.has(name)) this.pasts.set(name, new Past());
    return this.pasts.get(name);
  }

  // -- what is shown --------------------------------------------------------------------------------------------------

  look() {
    if (!this.state) return;
    const { status, holds, lag_ms: lag } = this.state;
    const before = this.door?.name;
    this.door = this.doors.show(status.doors);
    const door = this.door;
    document.body.classList.remove("waiting");
    this.process(status, lag);
    this.changes.show(door, this.may);
    if (!door) {
      say(byId("verdict"), "There is no door");
      return;
    }
    if (door.name !== before || this.stale) {
      this.stale = false;
      this.events.show(door.name);
      this.swaps.look(door.name, this.events.all);
    }
    const now = moment(this.state.time);
    const past = this.past(door.name);
    const rates = past.rates();
    const since = (one) => this.drainsSince(door.name, one);
    const drains = (one) => drainInWords(one, past, since(one), now);
    const short = (one) => shortly(one, past, since(one), now);
    this.glance.show(door, status, rates, short);
    this.title();
    this.generations.show(door, rates, short, now, this.may);
    this.drains.show(door, holds?.[door.name], drains);
    this.flow.draw(past, switches(this.events.all, door.name), door.active, now);
    this.logs.offer(
      door.name,
      door.generations.map((one) => one.id),
    );
  }

  /** When that generation began to drain, in milliseconds since the epoch. */
  drainsSince(door, one) {
    const began = this.events.all.findLast(
      (event) =>
        event.event === "drain.started" &&
        event.door === door &&
        event.generation === one.id &&
        event.over_s === undefined,
    );
    return moment(began?.time ?? one.since);
  }

  process(status, lag) {
    const busy =
      lag !== null && lag !== undefined ? `, loop ${lag < 10 ? lag.toFixed(1) : Math.round(lag)} ms late` : "";
    const listen = this.door ? `${this.door.name} on ${this.door.listen.join(", ")} · ` : "";
    say(
      byId("process"),
      `${listen}frontdoor ${status.frontdoor}, pid ${status.pid}, up ${duration(Math.floor(status.uptime_s))}${busy}`,
    );
  }

  contact(state, before) {
    set(document.body, "data-contact", state);
    say(byId("contact"), CONTACT[state] ?? state);
    set(byId("contact"), "data-level", state === "live" ? "good" : "warn");
    if (state === "live" && before !== "connecting") {
      this.stale = true; // whatever happened meanwhile was not seen here
      this.access.ask();
      this.logs.hurry();
    }
    this.changes.show(this.door, this.may);
    this.look();
    this.title();
  }

  /** Without contact the tab's title says that, whatever was last heard. */
  title() {
    if (this.live.state !== "live") document.title = `${CONTACT[this.live.state] ?? "connecting…"} · frontdoor`;
  }

  output(id) {
    this.logs.of(id);
    byId("logs").scrollIntoView({ block: "nearest" });
    byId("log-lines").focus();
  }

  spans() {
    for (const [seconds, text] of SPANS) {
      const button = el("button", {
        type: "button",
        text,
        "aria-pressed": String(seconds === this.flow.seconds),
        onclick: () => {
          this.flow.seconds = seconds;
          for (const other of byId("span").children) set(other, "aria-pressed", String(other === button));
          this.flow.again();
        },
      });
      byId("span").append(button);
    }
  }

  // -- who may change something ---------------------------------------------------------------------------------------

  /** Whether a button may be pressed: it is allowed, and what is shown is how it is. */
  get may() {
    return this.access.writable && this.live.state === "live";
  }

  mayChange(wrong) {
    const { writable, needed } = this.access;
    say(byId("may"), wrong ? "wrong token: read-only" : writable ? (needed ? "unlocked" : "") : "read-only");
    set(byId("may"), "data-level", wrong ? "bad" : writable ? "good" : "");
    show(byId("may"), !writable || needed);
    show(byId("unlock"), needed && !writable);
    show(byId("lock"), needed && writable);
    show(byId("why-not"), !writable);
    this.look();
    this.changes.show(this.door, this.may);
  }

  unlock() {
    const token = el("input", {
      type: "password",
      id: "token",
      autocomplete: "off",
      spellcheck: "false",
      required: true,
    });
    this.question.ask({
      title: "Unlock",
      body: [el("label", { class: "field" }, el("span", { text: "The token" }), token)],
      means: () => "It is in admin.token, in frontdoor's runtime_dir. This tab keeps it until it is closed.",
      yes: () => "Unlock",
      done: () => (token.value.trim() ? this.access.unlock(token.value.trim()) : "There is no token in the field"),
    });
  }
}

new Page().start();
