// What the page asks frontdoor for: answers of one JSON object, and those that are one object a line.

const BACK_WITHIN = 20000; // milliseconds in which a door process that died should be back

/** It was not done; `message` says why, `code` is the exit code that the command line would have. */
export class Refused extends Error {
  constructor(message, code, status) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

export class Calls {
  /** `token()` gives the token to send, or "". */
  constructor(token) {
    this.token = token;
  }

  headers(more = {}) {
    const token = this.token();
    return token ? { ...more, authorization: `Bearer ${token}` } : more;
  }

  /** One JSON object. Raises Refused; TypeError where nobody answers. */
  async get(path) {
    return await accepted(await fetch(path, { headers: this.headers(), cache: "no-store" }), "json");
  }

  async text(path) {
    return await accepted(await fetch(path, { headers: this.headers(), cache: "no-store" }), "text");
  }

  /** Each line of an answer, until it ends or `signal` aborts it. */
  async *lines(path, signal) {
    const response = await fetch(path, { headers: this.headers(), cache: "no-store", signal });
    if (!response.ok) await accepted(response, "json");
    yield* objects(response.body);
  }

  /**
   * Ask for a change; `heard(line)` is told what happens. Returns the outcome, `{result, exit_code, message}`. A swap
   * is followed over a connection that breaks, for it goes on. Raises Refused, TypeError.
   */
  async change(path, body, heard) {
    const response = await fetch(path, {
      method: "POST",
      headers: this.headers({ "content-type": "application/json" }),
      body: JSON.stringify(body),
      cache: "no-store",
    });
    if (!response.ok) await accepted(response, "json");
    const number = response.headers.get("frontdoor-swap");
    const seen = new Set();
    let source = objects(response.body);
    let until = 0;
    for (;;) {
      try {
        for await (const line of source) {
          if ("exit_code" in line) return line;
          until = 0;
          const key = `${line.seq}/${line.event}/${line.time}`;
          if (!seen.has(key)) heard(line);
          seen.add(key);
        }
      } catch (error) {
        if (error instanceof Refused) throw error;
      }
      if (!number) return UNKNOWN;
      if (!until) {
        until = performance.now() + BACK_WITHIN;
        heard({ event: "page.broke" });
      }
      if (performance.now() > until) return UNKNOWN;
      await new Promise((resolve) => setTimeout(resolve, 500));
      source = this.lines(path.replace(/[^/]*$/, `swaps/${number}?wait=baked`));
    }
  }
}

const UNKNOWN = {
  result: "unknown",
  exit_code: 1,
  message: "the connection broke, and the outcome is not known; what serves is what this page shows",
};

async function accepted(response, how) {
  if (response.ok) return await response[how]();
  let said = {};
  try {
    said = await response.json();
  } catch {
    // it was no JSON: the status is all that is known
  }
  throw new Refused(
    said.error ?? `frontdoor has answered with status ${response.status}`,
    said.exit_code ?? 1,
    response.status,
  );
}

async function* objects(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) if (line) yield JSON.parse(line);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
