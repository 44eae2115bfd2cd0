/** Following one turn to its end, whatever the connection does. */

import { Problem, getJSON, request, turnIdFrom } from "./api.js";
import { onLost, shown } from "./link.js";
import { readFrames } from "./sse.js";

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 8000;
// The server speaks at least every 10 s; three missed heartbeats are a dead line.
export const SILENCE_MS = 45000;

const TERMINAL = new Set(["complete", "error", "cancelled"]);
const UNFINISHED = new Set(["queued", "running"]);

/** The turn was never confirmed by the server, and asking again is not ours to decide. */
export class NotAccepted extends Error {}

/**
 * A reader of a turn's event log, which holds no connection while the tab is hidden. `open(signal)`
 * makes the first POST; without it, the turn of `turnId` is read from its start. Once the turn's id is
 * known, every reconnection is a GET with the last event id; before that, at most `reposts` repetitions
 * of `open`, which must carry the same idempotency key.
 *
 * Callbacks: `onTurn(id)` once, `onEvent(event)` for each event in order and never twice,
 * `onLink(connected, attempt)` when the connection comes and goes.
 */
export class Follower {
  #opened = 0;
  #attempt = 0;
  #lastId = "";
  #seq = 0;
  #line = new AbortController();

  constructor({ open = null, turnId = null, reposts = 0, signal, onTurn, onEvent, onLink }) {
    Object.assign(this, { open, turnId, reposts, signal, onTurn, onEvent, onLink });
  }

  /**
   * Resolves to the terminal event, to `{type: "answer", body}` where the server answered in plain
   * JSON, or to `{type: "stored", turn}` where the events are gone and only the turn is left.
   */
  async run() {
    for (;;) {
      await shown(this.signal);
      let wait = null;
      this.#line = new AbortController();
      const release = onLost(() => this.#giveUpLine());
      try {
        const end = await this.#readOnce(AbortSignal.any([this.signal, this.#line.signal]));
        if (end) return end;
      } catch (failure) {
        this.signal.throwIfAborted();
        if (this.#line.signal.aborted) continue;
        wait = this.#waitAfter(failure);
      } finally {
        release();
      }
      await this.#pause(wait);
    }
  }

  async #readOnce(signal) {
    const response = await this.#connect(signal);
    if (response === null) return this.#stored(signal);
    this.#learn(response.headers.get("X-Turn-Id") ?? turnIdFrom(response.headers.get("Location")));
    if (response.headers.get("Content-Type")?.includes("json")) return { type: "answer", body: await response.json() };
    this.onLink(true, 0);
    return this.#read(response, signal);
  }

  async #connect(signal) {
    if (this.turnId) return this.#resume(signal);
    if (!this.open || this.#opened > this.reposts) throw new NotAccepted("The connection broke before the server took the turn.");
    this.#opened += 1;
    return this.open(signal);
  }

  async #resume(signal) {
    const path = `/turns/${encodeURIComponent(this.turnId)}/events`;
    const headers = this.#lastId ? { "Last-Event-ID": this.#lastId } : {};
    try {
      const response = await request(this.#lastId ? path : `${path}?after=0`, { headers, signal });
      return response.status === 204 ? null : response;
    } catch (failure) {
      if (failure instanceof Problem && failure.status === 410) return null;
      throw failure;
    }
  }

  async #read(response, signal) {
    for await (const frame of readFrames(response.body, SILENCE_MS)) {
      const event = this.#take(frame);
      if (!event) continue;
      if (event.type === "gap") return this.#stored(signal);
      this.onEvent(event);
      if (TERMINAL.has(event.type)) return event;
    }
    return null;
  }

  /** The event of a frame, or null for `[DONE]`, heartbeats and what was already handled. */
  #take(frame) {
    const event = parse(frame.data);
    if (!event) return null;
    this.#attempt = 0;
    if (event.type === "gap") return event;
    if (event.type === "ping") return null;
    const seq = Number(frame.id.slice(frame.id.lastIndexOf(":") + 1));
    if (frame.id && seq <= this.#seq && !TERMINAL.has(event.type)) return null;
    if (frame.id) [this.#lastId, this.#seq] = [frame.id, seq];
    this.#learn(event.turn_id);
    return event;
  }

  #learn(turnId) {
    if (!turnId || this.turnId) return;
    this.turnId = turnId;
    this.onTurn(turnId);
    if (document.hidden) this.#giveUpLine();
  }

  /** Only a turn that has an id can be read on. */
  #giveUpLine() {
    if (this.turnId) this.#line.abort();
  }

  /** Polls, since there are no events left to wait for. */
  async #stored(signal) {
    for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
      const turn = await getJSON(`/turns/${encodeURIComponent(this.turnId)}`, { signal });
      if (!UNFINISHED.has(turn.status)) return { type: "stored", turn };
      await sleep(pause, signal);
    }
  }

  /** Seconds the server asks to wait, or null; throws again what a reconnection cannot mend. */
  #waitAfter(failure) {
    this.signal.throwIfAborted();
    if (failure instanceof NotAccepted) throw failure;
    if (!(failure instanceof Problem)) return null;
    // A 5xx without the service's own error type comes from something in between: the turn may be running.
    const ours = failure.type !== "";
    const transient = failure.status >= 500 || (failure.status === 429 && this.turnId);
    if (!transient || (ours && !this.turnId)) throw failure;
    return failure.retryAfter;
  }

  async #pause(wait) {
    this.#attempt += 1;
    this.onLink(false, this.#attempt);
    await sleep(pauseAfter(this.#attempt, wait), this.signal);
  }
}

function parse(data) {
  if (data === "[DONE]") return null;
  try {
    const event = JSON.parse(data);
    return typeof event?.type === "string" ? event : null;
  } catch {
    return null;
  }
}

/** Milliseconds to wait before the next of so many attempts; `asked` are seconds, of the server's. */
export function pauseAfter(attempt, asked = null) {
  return Math.max(Math.min(FIRST_PAUSE_MS * 2 ** (attempt - 1), LONGEST_PAUSE_MS), (asked ?? 0) * 1000);
}

/** Ends early when the browser comes back online. */
export function sleep(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const finish = () => {
      clearTimeout(timer);
      removeEventListener("online", finish);
      signal.removeEventListener("abort", finish);
      if (signal.aborted) reject(signal.reason);
      else resolve();
    };
    const timer = setTimeout(finish, milliseconds);
    addEventListener("online", finish);
    signal.addEventListener("abort", finish);
    if (signal.aborted) finish();
  });
}
