"use strict";
// A Node server with the HTTP routes of backends/web.py, on the Unix socket that frontdoor wants.
const crypto = require("node:crypto");
const http = require("node:http");

const { FRONTDOOR_SOCKET, FRONTDOOR_VERSION, FRONTDOOR_GENERATION } = process.env;
const whoami = { version: FRONTDOOR_VERSION, generation: Number(FRONTDOOR_GENERATION), pid: process.pid };
const pause = seconds => new Promise(resolve => setTimeout(resolve, seconds * 1000));

async function stream(query, response) {
  const digest = crypto.createHash("sha256");
  for (let chunk = 0; chunk < Number(query.get("chunks")); chunk++) {
    const body = Buffer.alloc(Number(query.get("size")), `chunk ${chunk} `);
    digest.update(body);
    response.write(body);
    await pause(Number(query.get("interval")));
  }
  response.end(`\nsha256 ${digest.digest("hex")}\n`);
}

async function upload(request) {
  const digest = crypto.createHash("sha256");
  let length = 0;
  for await (const data of request) {
    digest.update(data);
    length += data.length;
  }
  return { length, sha256: digest.digest("hex") };
}

const server = http.createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url, "http://unix");
  response.setHeader("X-Served-By", `${FRONTDOOR_VERSION}#${FRONTDOOR_GENERATION}`);
  if (pathname === "/stream") return stream(searchParams, response);
  if (pathname === "/slow") await pause(Number(searchParams.get("seconds")));
  const answer = pathname === "/upload" ? await upload(request) : whoami;
  response.end(JSON.stringify(answer) + "\n");
});

// Node's own 5 s are less than a client may pause: it would close in the middle.
server.keepAliveTimeout = Number(process.env.KEEP_ALIVE_MS || 75_000);
server.listen(FRONTDOOR_SOCKET);
process.on("SIGTERM", () => server.close());
