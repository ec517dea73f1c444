// Whether this page may change something: over TCP that takes the token of frontdoor's runtime_dir/admin.token.

import { Refused } from "./calls.js";

const KEY = "frontdoor.token";

export class Access {
  constructor() {
    this.token = sessionStorage.getItem(KEY) ?? "";
    this.writable = false;
    this.needed = false;
    this.changed = () => {};
    this.fromAddress();
    window.addEventListener("hashchange", () => {
      if (this.fromAddress()) this.ask();
    });
  }

  /** A token in the address: it is taken from there at once, so that no history, no screenshot and no copy has it. */
  fromAddress() {
    const asked = new URLSearchParams(location.hash.slice(1));
    const token = asked.get("token");
    if (token === null) return false;
    asked.delete("token");
    const rest = asked.toString();
    history.replaceState(null, "", location.pathname + location.search + (rest ? `#${rest}` : ""));
    this.keep(token.trim());
    return true;
  }

  keep(token) {
    this.token = token;
    if (token) sessionStorage.setItem(KEY, token);
    else sessionStorage.removeItem(KEY);
  }

  /** Ask frontdoor what this page may do. Returns why the token is wrong, or "". */
  async ask(calls = this.calls) {
    let wrong = "";
    let may = null;
    try {
      may = await calls.get("v1/admin");
    } catch (error) {
      if (!(error instanceof Refused)) return "frontdoor does not answer";
      if (error.status === 401) wrong = error.message;
    }
    if (wrong) {
      this.keep("");
      may = await calls.get("v1/admin").catch(() => null);
    }
    this.writable = may?.writable === true;
    this.needed = may === null || may.token_needed === true; // where it cannot say just now: to be able to ask again
    this.changed(wrong);
    return wrong;
  }

  /** Try this token. Returns why it is wrong, or "". */
  async unlock(token) {
    if (!/^[!-~]+$/.test(token)) return "a token is letters and digits, without spaces";
    this.keep(token);
    return await this.ask();
  }

  async lock() {
    this.keep("");
    await this.ask();
  }
}
