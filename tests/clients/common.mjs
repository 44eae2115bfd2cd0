// What the checks share: the service's own API, a proxy that cuts streams, and a list of checks.

import assert from "node:assert/strict";
import http from "node:http";

export { assert };
export const base = process.env.BASE;
export const slow = process.env.SLOW; // a service whose turns last for as long as a check needs them
export const CUTS = Number(process.env.CUTS ?? 20);

let made = 0;
export async function newCharacter(at = base) {
  const name = `Maren ${process.pid} ${made++}`;
  const answer = await call("POST", "/characters", { name, race: "human", class_name: "ranger" }, at);
  assert.equal(answer.status, 201, answer.text);
  return answer.json.character_id;
}

export async function call(method, path, body, at = base) {
  const answer = await fetch(at + path, {
    method,
    headers: body ? { "content-type": "application/json" } : {},
    body: body && JSON.stringify(body),
  });
  const text = await answer.text();
  const json = text.startsWith("{") ? JSON.parse(text) : undefined;
  return { status: answer.status, text, json };
}

// Without the opening, newest first.
export async function turns(character, at = base) {
  const { json } = await call("GET", `/characters/${character}/turns?limit=100`, undefined, at);
  return json.turns.filter((turn) => turn.user_action !== null);
}

export async function until(what, get) {
  for (let tries = 0; tries < 500; tries++) {
    const found = await get();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`not so: ${what}`);
}

// The newest turn, once it has ended.
export function ended(character) {
  return until("the turn has ended", async () => {
    const [turn] = await turns(character);
    return turn && !["queued", "running"].includes(turn.status) && turn;
  });
}

// A stream that nobody reads to its end: of another client.
export function playing(character, action) {
  const body = { character_id: character, user_action: action };
  return fetch(`${base}/turn/stream`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
}

// Passes requests on; with the header x-cut: N it breaks the connection N bytes into the answer's body.
export async function cuttingProxy() {
  const server = http.createServer((request, response) => {
    const { "x-cut": cut, host, ...headers } = request.headers;
    const target = new URL(base + request.url);
    const passed = http.request(target, { method: request.method, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      response.flushHeaders();
      let left = cut === undefined ? Infinity : Number(cut);
      answer.on("data", (piece) => {
        response.write(piece.subarray(0, left));
        left -= piece.length;
        if (left <= 0) {
          answer.destroy();
          setImmediate(() => response.destroy());
        }
      });
      answer.on("end", () => response.end());
      answer.on("error", () => response.destroy());
    });
    passed.on("error", () => response.destroy());
    request.pipe(passed);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}

// The same places in every run.
export function places(count, below) {
  let seed = 7;
  return Array.from({ length: count }, () => {
    seed = (seed * 1103515245 + 12345) % 2 ** 31;
    return 1 + (seed % below);
  });
}

const failures = [];
export async function check(name, work) {
  try {
    await work();
    console.log(`ok       ${name}`);
  } catch (error) {
    failures.push(name);
    console.log(`FAILED   ${name}\n${error?.stack ?? error}`);
  }
}

export function finish() {
  process.exit(failures.length ? 1 : 0);
}
