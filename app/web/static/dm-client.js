// A client of this service for browsers and Node: an ES module without dependencies.
//
//   import { Client } from "/static/dm-client.js";
//   for await (const event of new Client().turn(characterId, "I lift the latch.")) {
//     if (event.type === "token") show(event.content);
//   }
//
// A stream that breaks off is taken up again where it was. Leaving the loop stops nothing: `cancel` does.

const ENDS = new Set(["complete", "error", "cancelled"]);
const BUSY = new Set([429, 502, 503, 504]);
const [PAUSE, LONGEST_PAUSE] = [200, 5000]; // ms
const SILENCE = 45000; // ms; the service breaks every silence after 10 s

/** The service has answered, and it was no. */
export class Refused extends Error {
  constructor(status, problem) {
    const error = problem?.error ?? {};
    super(`${status} ${error.type ?? "unknown"}: ${error.message ?? "no message"}`);
    this.name = "Refused";
    this.status = status;
    this.type = error.type ?? "unknown";
    this.recoverable = error.recoverable ?? status >= 500;
    this.retryAfter = error.retry_after_seconds;
    this.problem = problem;
  }
}

export class Client {
  #base;
  #headers = {};
  #fetch;
  #patience;

  constructor({ base = "", token, user, patience = 60000, fetch = globalThis.fetch } = {}) {
    this.#base = base.replace(/\/$/, "");
    if (token) this.#headers.Authorization = `Bearer ${token}`;
    if (user) this.#headers["X-User-Id"] = user;
    this.#fetch = (...request) => fetch(...request);
    this.#patience = patience;
  }

  /** Takes a turn; its events up to the terminal one, each once. */
  turn(characterId, action, { key = newKey(), dryRun = false, manual = false, signal } = {}) {
    const body = { character_id: characterId, user_action: action, dry_run: dryRun, ...(manual && { commit: "manual" }) };
    const begin = { method: "POST", path: "/turn/stream", body, headers: { "Idempotency-Key": key } };
    return this.#read({ begin, lastId: "", signal });
  }

  /** A turn's events behind number `after`, up to the terminal one. */
  events(turnId, { after = 0, signal } = {}) {
    const lastId = after ? `${turnId}:${after}` : "";
    return this.#read({ path: `/turns/${turnId}/events`, lastId, signal });
  }

  /** The events of all turns of a character as they come, without end. */
  follow(characterId, { lastEventId = "", signal } = {}) {
    const path = `/characters/${characterId}/events`;
    return this.#read({ path, lastId: lastEventId, endless: true, signal });
  }

  getTurn(turnId) {
    return this.#call("GET", `/turns/${turnId}`);
  }

  async cancel(turnId) {
    await this.#call("POST", `/turns/${turnId}/cancel`);
  }

  /** Has a turn written that awaits it. */
  async commit(turnId) {
    await this.#call("POST", `/turns/${turnId}/commit`);
  }

  /** Retells a turn that awaits its commit; text before the phase `retelling` does not count. */
  async retell(turnId, guidance) {
    await this.#call("POST", `/turns/${turnId}/retell`, { guidance });
  }

  createCharacter({ name, race, className, adventurePrompt }) {
    const body = { name, race, class_name: className, adventure_prompt: adventurePrompt };
    return this.#call("POST", "/characters", body);
  }

  async characters() {
    return (await this.#call("GET", "/characters")).characters;
  }

  history(characterId, { limit = 20, before } = {}) {
    const query = new URLSearchParams({ limit, ...(before && { before }) });
    return this.#call("GET", `/characters/${characterId}/turns?${query}`);
  }

  async #call(method, path, body) {
    const answer = await this.#ask({ method, path, body });
    await refuseUnlessOk(answer);
    return answer.json();
  }

  #ask({ method = "GET", path, body, headers = {} }, signal) {
    return this.#fetch(this.#base + path, {
      method,
      signal,
      headers: { ...this.#headers, ...headers, ...(body && { "Content-Type": "application/json" }) },
      body: body && JSON.stringify(body),
    });
  }

  async *#read(place) {
    let pause = PAUSE;
    place.heard = Date.now();
    while (!place.over || place.endless) {
      let [wait, broken] = [pause, null]; // ms, and why the stream has broken off
      try {
        const request = place.path
          ? { path: place.path, headers: place.lastId ? { "Last-Event-ID": place.lastId } : {} }
          : place.begin;
        const answer = await this.#ask(request, place.signal);
        if (answer.status === 204) return;
        await refuseUnlessOk(answer);
        place.path ??= answer.headers.get("Location") ?? undefined;
        for await (const event of eventsOf(answer.body, place)) {
          pause = PAUSE;
          yield event;
          place.heard = Date.now(); // the reader may have taken its time
          if (place.over && !place.endless) return;
        }
      } catch (error) {
        place.signal?.throwIfAborted();
        if (error instanceof Refused && !(BUSY.has(error.status) && error.recoverable)) throw error;
        if (!(error instanceof Refused || error instanceof BrokenOff || error instanceof TypeError)) throw error;
        broken = error;
        wait = Math.max(pause, (error.retryAfter ?? 0) * 1000);
      }
      const silence = Date.now() - place.heard + (broken instanceof Refused ? wait : 0);
      if (silence > this.#patience) throw broken ?? new BrokenOff("nothing was heard");
      await rest(wait, place.signal);
      pause = Math.min(pause * 2, LONGEST_PAUSE);
    }
  }
}

/** A stream has ended in the middle, or was silent for too long. */
class BrokenOff extends Error {}

function rest(ms, signal) {
  signal?.throwIfAborted();
  return new Promise((resolve, reject) => {
    const leave = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", leave);
      resolve();
    }, ms);
    signal?.addEventListener("abort", leave, { once: true });
  });
}

function newKey() {
  if (globalThis.crypto?.randomUUID) return crypto.randomUUID();
  return `${Date.now()}-${Math.random().toString(36).slice(2)}`; // pages without https
}

async function refuseUnlessOk(answer) {
  if (answer.ok) return;
  const text = await answer.text();
  let problem = {};
  try {
    problem = JSON.parse(text);
  } catch {
    // not the service's own answer
  }
  throw new Refused(answer.status, problem);
}

async function* eventsOf(body, place) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  try {
    for (;;) {
      const { done, value } = await soon(reader);
      text += decoder.decode(value, { stream: !done });
      const blocks = text.split("\n\n");
      text = blocks.pop();
      for (const block of blocks) {
        const event = eventOf(block, place);
        if (event) yield event;
      }
      if (done) return;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

async function soon(reader) {
  let timer;
  const silence = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new BrokenOff("nothing was heard")), SILENCE);
  });
  try {
    return await Promise.race([reader.read(), silence]);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new BrokenOff(String(error));
  } finally {
    clearTimeout(timer);
  }
}

function eventOf(block, place) {
  const lines = block.split("\n");
  const data = lines.find((line) => line.startsWith("data: {"));
  if (!data) return null;
  const id = lines.find((line) => line.startsWith("id: "))?.slice(4) ?? "";
  const event = JSON.parse(data.slice(6));
  place.heard = Date.now();
  if (event.type === "ping" || (id && id === place.lastId)) return null;
  if (event.type === "gap") place.lastId = `${place.lastId.replace(/:\d+$/, "")}:${event.to}`;
  place.lastId = id || place.lastId;
  place.over = ENDS.has(event.type);
  return event;
}
