/**
 * Keeping a page true to its story: turns played on another device, a server that came back.
 *
 * A tab holds one stream, and none while it is hidden: that of the turn it watches, or else that of
 * its character, which says when a turn begins; at a table, that of the table.
 */

import { Problem, request } from "./api.js";
import { byId, fill } from "./dom.js";
import { SILENCE_MS, pauseAfter, sleep } from "./follow.js";
import { WOKEN } from "./link.js";
import { CHANGED, clearOffline, drawSheet, fetchSheet, notice, page } from "./page.js";
import { showStory } from "./past.js";
import { readFrames } from "./sse.js";
import { resumeTurn, watchTurn } from "./turns.js";

/** For a page that could not be filled, since the server was not there. */
const NOBODY = "";

/** The stream that is open, or waits to be opened again: `{of, controller}`. */
let line = null;
let refill = null;

/** `again` fills a page that could not be filled. */
export function setUpLive(again) {
  refill = again;
  document.addEventListener("visibilitychange", sync);
  addEventListener(CHANGED, sync);
  addEventListener("online", reopen);
  addEventListener(WOKEN, reopen);
}

/** What was open before the network went may be dead without a word. */
function reopen() {
  line?.controller.abort();
  line = null;
  sync();
}

/** Opens what the page needs now, and closes what it does not. */
function sync() {
  const of = wanted();
  if (line && line.of === of) return;
  line?.controller.abort();
  fill(byId("link-state"));
  line = of === null ? null : { of, controller: new AbortController() };
  if (line) keep(of, line.controller.signal);
}

/** A table, the id of a character, `NOBODY`, or null for no stream. */
function wanted() {
  if (document.hidden || !byId("gate").hidden) return null;
  if (page.table) return page.table;
  if (page.watch) return null;
  if (page.characterId) return page.drawn ? page.characterId : null;
  return document.querySelector("[data-offline]") ? NOBODY : null;
}

async function keep(of, signal) {
  try {
    for (let attempt = 1; ; attempt += 1) {
      const failure = await (of === NOBODY ? retry(attempt, signal) : follow(of, signal, () => (attempt = 0)));
      if (isFinal(failure)) return of === page.table && notice("turn-notice", failure);
      if (of !== NOBODY) fill(byId("link-state"), "Connection lost. Reconnecting…");
      await sleep(pauseAfter(Math.max(attempt, 1), failure?.retryAfter), signal);
    }
  } catch {
    // Closed by `sync`, or by the page itself when it is left.
  }
}

async function retry(attempt, signal) {
  if (attempt > 1) await refill();
  signal.throwIfAborted();
}

/** Reads the stream to its end; gives what ended it, or null. */
async function follow(of, signal, onLink) {
  try {
    const { body } = await request(...addressOf(of, signal));
    for await (const frame of readFrames(body, SILENCE_MS)) {
      onLink();
      clearOffline();
      fill(byId("link-state"));
      signal.throwIfAborted();
      if (of === page.table) of.take(frame);
      else await take(frame, of, signal);
    }
    return null;
  } catch (failure) {
    signal.throwIfAborted();
    return failure;
  }
}

function addressOf(of, signal) {
  if (of !== page.table) return [`/characters/${encodeURIComponent(of)}/events`, { signal }];
  return [`/api/sessions/${of.id}/events`, { signal, headers: of.lastId ? { "Last-Event-ID": of.lastId } : {} }];
}

/** A refusal that another attempt would only hear again. */
function isFinal(failure) {
  return failure instanceof Problem && failure.status < 500 && failure.status !== 429;
}

/** The first event of a turn is enough: its own stream has the rest. */
async function take({ id, data }, characterId, signal) {
  const turnId = id.slice(0, id.lastIndexOf(":"));
  const live = JSON.parse(data).phase === "live";
  if (!turnId && !live) return;
  await catchUp(characterId, signal);
  if (live && resumeTurn(characterId)) return;
  if (turnId) watchTurn({ turnId, action: "" });
}

/** Draws what has ended while the stream was closed. */
async function catchUp(characterId, signal) {
  const sheet = await fetchSheet(characterId);
  signal.throwIfAborted();
  if (sheet.turnCount === page.turnCount) return;
  drawSheet(sheet);
  page.turnCount = sheet.turnCount;
  await showStory(characterId);
  signal.throwIfAborted();
}
