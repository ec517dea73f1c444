// The connection to GET /v1/live. It comes back by itself, and says at once when what is shown may not be so any more.

const FIRST = 300; // milliseconds until it is tried again, and longer each time
const LONGER = 1.6;
const LONGEST = 8000;
const SILENCE = 4000; // a state comes each second: after so long without one, what is shown is not how it is
const HUNG = 12000; // … and after so long it is tried anew
const FORGOTTEN = 60000; // a tab that nobody looks at for so long takes no one's place: a browser has six to an address

/** Calls `heard(line)` for each line, and `changed(state, before)`: "connecting", "live", "reconnecting", "asleep". */
export class Live {
  constructor(heard, changed) {
    this.heard = heard;
    this.changed = changed;
    this.state = "connecting";
    this.last = 0;
    this.wait = FIRST;
    this.source = null;
    this.again = 0;
    this.sleep = 0;
  }

  start() {
    this.connect();
    setInterval(() => this.look(), 1000);
    document.addEventListener("visibilitychange", () => this.seen());
    window.addEventListener("online", () => this.hurry());
  }

  connect() {
    clearTimeout(this.again);
    this.source?.close();
    const source = new EventSource("v1/live");
    this.source = source;
    this.began = performance.now();
    source.onmessage = (message) => {
      if (source === this.source) this.take(JSON.parse(message.data));
    };
    // By itself it comes back after some kinds of errors, and after some seconds: here it is after all of them, sooner.
    source.onerror = () => {
      if (source === this.source) this.lost();
    };
  }

  take(line) {
    if (line.event === "live.state") {
      this.last = performance.now();
      this.wait = FIRST;
    }
    this.heard(line);
    if (line.event === "live.state") this.become("live");
  }

  lost() {
    this.source?.close();
    this.source = null;
    clearTimeout(this.again);
    if (this.state === "asleep") return;
    this.again = setTimeout(() => this.connect(), this.wait * (0.75 + Math.random() / 2));
    this.wait = Math.min(this.wait * LONGER, LONGEST);
    this.become("reconnecting");
  }

  /** Come back now, if it is gone. */
  hurry() {
    if (this.source === null && this.state !== "asleep") this.connect();
  }

  look() {
    if (this.state === "asleep" || this.source === null) return;
    const silent = performance.now() - Math.max(this.last, this.began);
    if (silent > HUNG) this.lost();
    else if (silent > SILENCE) this.become("reconnecting");
  }

  seen() {
    clearTimeout(this.sleep);
    if (document.hidden) {
      this.sleep = setTimeout(() => {
        this.become("asleep");
        this.lost();
      }, FORGOTTEN);
    } else if (this.state === "asleep") {
      this.become("reconnecting");
      this.connect();
    } else {
      this.hurry();
    }
  }

  become(state) {
    if (state === this.state) return;
    const before = this.state;
    this.state = state;
    this.changed(state, before);
  }
}
