// The report of one swap, in a dialog: its picture, and its text.

import { byId, say, set, show } from "./element.js";
import { open } from "./question.js";

export class Report {
  constructor(calls) {
    this.calls = calls;
    this.dialog = byId("report");
    byId("report-close").addEventListener("click", () => this.dialog.close());
    byId("report-picture").addEventListener("error", () => show(byId("report-picture"), false));
  }

  async open(door, number) {
    this.path = `${door}#${number}`;
    const mine = this.path;
    const path = `v1/doors/${encodeURIComponent(door)}/reports/${number}`;
    say(byId("report-title"), `Swap ${number} of ${door}`);
    say(byId("report-text"), "…");
    set(byId("report-json"), "href", path);
    const picture = byId("report-picture");
    show(picture, true);
    set(picture, "src", `${path}?format=svg`);
    set(picture, "alt", `The streams of both generations during swap ${number}; the text below says the same`);
    open(this.dialog);
    byId("report-close").focus();
    const text = await this.calls.text(`${path}?format=text`).catch((error) => error.message);
    // Another report may have been opened meanwhile.
    if (mine === this.path) say(byId("report-text"), text);
  }
}
