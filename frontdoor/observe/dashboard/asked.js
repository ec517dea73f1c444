// What somebody has asked for on this page: how it goes, and its outcome in words.

import { Refused } from "./calls.js";
import { byId, el, say, set, show } from "./element.js";
import { sentence } from "./sentences.js";
import { clock, moment } from "./words.js";

const CODES = {
  0: "done",
  1: "failed",
  2: "wrong usage, or a config that is not valid",
  4: "the new version did not become ready: the old one still serves",
  5: "busy: another swap of this door is under way",
  6: "streams had to be closed",
  7: "it failed in its probation, and the old one was switched back",
  130: "aborted",
};
const SAID_BY_THE_OUTCOME = new Set(["swap.failed", "swap.aborted", "swap.vetoed", "swap.settled", "config.refused"]);

export class Asked {
  constructor(calls, locked) {
    this.calls = calls;
    this.locked = locked;
    this.number = 0;
    byId("asked-close").addEventListener("click", () => {
      show(byId("asked"), false);
      byId("main").focus();
    });
  }

  /** Ask for it, and show what happens. `title` says what it is. */
  async run(title, path, body) {
    this.number += 1;
    const mine = this.number;
    const lines = byId("asked-lines");
    const outcome = byId("asked-outcome");
    say(byId("asked-title"), title);
    lines.replaceChildren();
    outcome.replaceChildren(el("p", { class: "busy", text: "under way…" }));
    set(byId("asked"), "data-level", "busy");
    show(byId("asked"), true);
    const heard = (line) => {
      if (mine !== this.number || SAID_BY_THE_OUTCOME.has(line.event)) return;
      const time = line.time ? clock(moment(line.time)) : "";
      lines.append(el("li", {}, el("time", { text: time }), el("span", { text: sentence(line) })));
    };
    const result = await this.outcome(path, body, heard);
    if (mine !== this.number) return;
    set(byId("asked"), "data-level", result.exit_code === 0 ? "good" : "bad");
    const words = CODES[result.exit_code];
    outcome.replaceChildren(
      el("p", {}, el("b", { text: result.exit_code === 0 ? "✓ " : "✕ " }), result.message ?? result.result),
      el("p", { class: "quiet", text: `exit code ${result.exit_code}${words ? `: ${words}` : ""}` }),
      ...(result.output?.length ? [el("pre", { text: result.output.join("\n"), tabindex: 0 })] : []),
    );
  }

  async outcome(path, body, heard) {
    try {
      return await this.calls.change(path, body, heard);
    } catch (error) {
      if (!(error instanceof Refused)) {
        return {
          exit_code: 3,
          message: "frontdoor does not answer: it is not known whether this was done; look at what serves",
        };
      }
      if (error.status === 401) this.locked();
      return { exit_code: error.code, message: error.message };
    }
  }
}
