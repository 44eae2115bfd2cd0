#!/bin/bash
# @ag-ui/client 1.0.0 (npm): a stream of server-sent events whose lines end in CRLF is not read.
#
# The HTML standard (9.2.5) lets a stream end its lines in LF, CR or CRLF, and some servers' libraries write
# CRLF by default (sse-starlette, a Python one, does). The client looks for two line feeds alone:
#
#   LF:   RUN_STARTED, RUN_FINISHED -> the run ends well
#   CRLF: the same events           -> no event is seen, and the run fails
#
# Exit code 0 while this is so. Needs Node 20 or newer with npm.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{"private": true, "type": "module"}' >package.json
npm install --no-audit --no-fund --ignore-scripts --loglevel=error "@ag-ui/client@1.0.0"

cat >show.mjs <<'JAVASCRIPT'
import http from "node:http";
import { HttpAgent } from "@ag-ui/client";

console.error = () => {};
process.on("unhandledRejection", () => {}); // a failed run rejects a second time, where nobody waits
const ends = { "/lf": "\n", "/crlf": "\r\n" };
const server = http.createServer((request, response) => {
  const [threadId, runId, end] = ["t", "r", ends[request.url]];
  response.writeHead(200, { "Content-Type": "text/event-stream" });
  for (const type of ["RUN_STARTED", "RUN_FINISHED"]) {
    response.write(`data: ${JSON.stringify({ type, threadId, runId })}${end}${end}`);
  }
  response.end();
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));

async function read(path) {
  const agent = new HttpAgent({ url: `http://127.0.0.1:${server.address().port}${path}`, threadId: "t" });
  const seen = [];
  agent.messages.push({ id: "m", role: "user", content: "Hello" });
  const error = await agent.runAgent({}, { onEvent: ({ event }) => void seen.push(event.type) }).then(
    () => "", (failed) => String(failed).split("\n")[0]);
  return { seen, error };
}

const [lf, crlf] = [await read("/lf"), await read("/crlf")];
console.log("LF:  ", JSON.stringify(lf), "\nCRLF:", JSON.stringify(crlf));
process.exit(lf.seen.length === 2 && !lf.error && crlf.seen.length === 0 && crlf.error ? 0 : 1);
JAVASCRIPT
node show.mjs
