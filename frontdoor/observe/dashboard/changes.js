// The buttons that change something, each with a question that says exactly what will happen.

import { byId, el, set, say, show } from "./element.js";
import {
  drainMeans,
  isActive,
  known,
  matches,
  pauseMeans,
  promoteMeans,
  rollbackMeans,
  still,
  swapMeans,
} from "./meanings.js";

const WAYS = [
  [0, "now, all at once"],
  [60, "evenly over 1 minute"],
  [600, "evenly over 10 minutes"],
  [3600, "evenly over 1 hour"],
];
const PAUSES = [
  [null, "until somebody resumes"],
  [30, "for 30 seconds, then by itself again"],
  [300, "for 5 minutes, then by itself again"],
];

const OTHER = {
  "aria-label": "Another version",
  placeholder: "a version's name",
  autocomplete: "off",
  spellcheck: "false",
  pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]*(#[0-9]+)?",
};

export class Changes {
  /** `doorNow(name)` is a door of the last status, the one that is looked at without a name; or null. */
  constructor(question, asked, doorNow) {
    this.question = question;
    this.asked = asked;
    this.doorNow = doorNow;
    this.may = false;
    const press = (id, pressed) => byId(id).addEventListener("click", () => pressed(this.doorNow()));
    press("swap", (door) => this.swap(door));
    press("rollback", (door) => this.rollback(door));
    press("promote", (door) => this.promote(door));
    press("pause", (door) => (door.paused ? this.resume(door) : this.pause(door)));
  }

  /** What can be pressed now. */
  show(door, may) {
    this.may = may;
    const there = may && door !== null && door.state !== "stopping";
    byId("swap").disabled = !there;
    byId("rollback").disabled = !there || !(door.previous || door.swap);
    byId("promote").disabled = byId("pause").disabled = !there;
    show(byId("promote"), Boolean(door?.canary));
    say(byId("pause"), door?.paused ? "Resume…" : "Pause…");
    this.question.refresh();
  }

  /**
   * Ask whether `verb` is to be done to `door`, and do it: to that one, whichever is looked at by then. `means(door)`
   * says what will happen, as things stand now; `fields()` are what is sent.
   */
  confirm(door, { title, body, means, yes, danger, verb, fields, doing }) {
    this.question.ask({
      title,
      body,
      means: () => {
        const now = this.may ? this.doorNow(door.name) : null;
        return now ? means(now) : "";
      },
      yes,
      danger,
      done: () => {
        this.asked.run(doing(), `v1/doors/${encodeURIComponent(door.name)}/${verb}`, fields());
      },
    });
  }

  swap(door) {
    const other = el("input", { type: "text", name: "other", maxlength: 80, ...OTHER });
    const choices = door.versions.map((version) => [version, version, known(door, version)]);
    const first = door.versions.find((version) => !isActive(door, version)) ?? door.versions[0] ?? "";
    const [list, chosen] = radios("Which version?", [...choices, ["", "another", ""]], first);
    list.append(other);
    other.addEventListener("input", () => (list.querySelector("input[value='']").checked = true));
    const reuse = el("input", { type: "checkbox", name: "reuse" });
    const again = el("label", { class: "check" }, reuse, el("span"));
    const version = () => chosen() || other.value.trim();
    this.confirm(door, {
      title: `Swap ${door.name}`,
      body: [list, again],
      means: (now) => {
        const runs = now.generations.find((one) => matches(one, version()) && still(one));
        show(again, Boolean(runs));
        const how = "instant, but not a fresh start";
        if (runs) say(again.lastElementChild, `use ${runs.id}, which still runs (${runs.state}): ${how}`);
        return version() && other.validity.valid ? swapMeans(now, version(), reuse.checked ? runs : null) : "";
      },
      yes: () => (version() ? `Swap to ${version()}` : "Swap"),
      verb: "swap",
      fields: () => ({ version: version(), reuse: !again.hidden && reuse.checked, wait: "baked" }),
      doing: () => `Swap of ${door.name} to ${version()}`,
    });
  }

  rollback(door) {
    this.confirm(door, {
      title: `Roll ${door.name} back`,
      means: rollbackMeans,
      yes: () => "Roll back",
      danger: true,
      verb: "rollback",
      fields: () => ({ wait: "baked" }),
      doing: () => `Rollback of ${door.name}`,
    });
  }

  promote(door) {
    this.confirm(door, {
      title: `Promote the canary of ${door.name}`,
      means: promoteMeans,
      yes: () => "Promote",
      verb: "promote",
      fields: () => ({ wait: "baked" }),
      doing: () => `Promotion in ${door.name}`,
    });
  }

  pause(door) {
    const choices = PAUSES.map(([seconds, text]) => [String(seconds ?? ""), text, ""]);
    const [list, chosen] = radios("For how long?", choices, "");
    const seconds = () => (chosen() ? Number(chosen()) : null);
    this.confirm(door, {
      title: `Pause ${door.name}`,
      body: [list],
      means: (now) => pauseMeans(now, seconds()),
      yes: () => "Pause",
      danger: true,
      verb: "pause",
      fields: () => (seconds() === null ? {} : { for: seconds() }),
      doing: () => `Pause of ${door.name}`,
    });
  }

  resume(door) {
    this.confirm(door, {
      title: `Resume ${door.name}`,
      means: () => "Clients are accepted again at once, those that wait first.",
      yes: () => "Resume",
      verb: "resume",
      fields: () => ({}),
      doing: () => `Resumption of ${door.name}`,
    });
  }

  drain(id) {
    const choices = WAYS.map(([seconds, text]) => [String(seconds), text, ""]);
    const [list, chosen] = radios(`How are the streams of ${id} to be closed?`, choices, "600");
    this.confirm(this.doorNow(), {
      title: `Drain ${id}`,
      body: [list],
      means: (now) => drainMeans(now, id, Number(chosen())),
      yes: () => (chosen() === "0" ? "Close them now" : "Close them"),
      danger: true,
      verb: "drain",
      fields: () => ({ version: id, over: Number(chosen()) }),
      doing: () => `Drain of ${id}`,
    });
  }
}

/** A group of radio buttons, `[[value, text, remark], …]`; and what gives the chosen value. */
function radios(question, choices, first) {
  const list = el("fieldset", {}, el("legend", { text: question }));
  for (const [value, text, remark] of choices) {
    const input = el("input", { type: "radio", name: "choice", value });
    set(input, "checked", value === first);
    list.append(el("label", {}, input, el("span", { text }), el("span", { class: "quiet", text: remark })));
  }
  return [list, () => list.querySelector("input[name=choice]:checked")?.value ?? ""];
}
