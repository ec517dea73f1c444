// A dialog: something is asked, and answered by a button, Enter or Escape. The focus goes back to where it was.

import { byId, say } from "./element.js";

/** Opens as `<dialog>`; whatever opened it has the focus again when it is closed. */
export function open(dialog) {
  const before = document.activeElement;
  dialog.addEventListener(
    "close",
    () => {
      if (before instanceof HTMLElement && before.isConnected && !before.disabled) before.focus();
      else byId("main").focus();
    },
    { once: true },
  );
  dialog.showModal();
}

export class Question {
  constructor() {
    this.dialog = byId("ask");
    this.form = this.dialog.querySelector("form");
    this.yes = byId("ask-yes");
    byId("ask-no").addEventListener("click", () => this.dialog.close());
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.answer();
    });
    this.form.addEventListener("input", () => this.refresh());
  }

  /**
   * Ask. `means()` says what exactly will happen, and is asked after each input; "" is that it cannot be done yet.
   * `yes()` names the button. `done()` does it: what it returns is why it was wrong, and the dialog stays.
   */
  ask({ title, body = [], means, yes, done, danger = false }) {
    say(byId("ask-title"), title);
    byId("ask-body").replaceChildren(...body);
    say(byId("ask-wrong"), "");
    this.yes.className = danger ? "main danger" : "main";
    this.means = means;
    this.name = yes;
    this.done = done;
    this.refresh();
    open(this.dialog);
    (this.form.querySelector("#ask-body input:checked, #ask-body input, #ask-body select") ?? this.yes).focus();
  }

  /** Things have changed meanwhile, or something was typed. */
  refresh() {
    if (!this.means) return;
    const means = this.means();
    say(byId("ask-means"), means);
    say(this.yes, this.name());
    this.yes.disabled = means === "";
  }

  async answer() {
    if (this.yes.disabled) return;
    this.yes.disabled = true;
    try {
      const wrong = await this.done();
      if (wrong) say(byId("ask-wrong"), wrong);
      else this.dialog.close();
    } finally {
      this.yes.disabled = false;
    }
  }
}
