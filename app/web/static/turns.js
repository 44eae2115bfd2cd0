/** Playing turns: sending an action, watching it, cancelling, taking it up again. */

import { Problem, newKey, request } from "./api.js";
import { drawComposer } from "./composer.js";
import { byId } from "./dom.js";
import { Follower } from "./follow.js";
import { changed, clearNotice, clearOffline, keepingBottom, notice, page, refreshSheet, setCharacter, toBottom, wide } from "./page.js";
import { addressOf, replaceAddress } from "./route.js";
import { Speaker, announce } from "./speech.js";
import { showSpent } from "./spent.js";
import { TurnCard } from "./story.js";

const RUNNING = "dm.running";
const MANUAL = "dm.manual";

/** Turns whose end this tab has not seen, `{character_id: {turn_id, action}}`: they outlive a reload. */
const running = {
  all: () => JSON.parse(sessionStorage.getItem(RUNNING) ?? "{}"),
  save: (turns) => sessionStorage.setItem(RUNNING, JSON.stringify(turns)),
  add: (characterId, turn) => running.save({ ...running.all(), [characterId]: turn }),
  remove: (turnId) => running.save(Object.fromEntries(Object.entries(running.all()).filter(([, turn]) => turn.turn_id !== turnId))),
};

/** An action whose fate is unknown keeps its key, so that sending it again cannot play it twice. */
let unsent = null;

export function setUpTurns() {
  byId("commit").addEventListener("click", () => onChoice("commit"));
  byId("retell").addEventListener("click", () => onChoice("retell", { guidance: byId("guidance").value.trim() || null }));
  byId("manual").checked = localStorage.getItem(MANUAL) === "1";
  byId("manual").addEventListener("change", onManual);
}

/**
 * Shows a turn from its first event to its last and resolves to `{end, card}`, or to null when it
 * was refused or the page moved on. `refused` gets what the server, or the network, said instead.
 */
export async function watchTurn({ turnId = null, open = null, reposts = 0, action, refused = null }) {
  clearNotice("turn-notice");
  const watch = { controller: new AbortController(), card: new TurnCard(action, new Speaker()), turnId, action, resumed: open === null, cancelling: false };
  page.watch = watch;
  changed();
  remember(watch);
  byId("story").querySelector(":scope > .offer")?.remove();
  byId("story").append(watch.card.node);
  drawComposer();
  toBottom();
  let end;
  try {
    end = await follow(watch, { turnId, open, reposts });
  } catch (failure) {
    if (!watch.controller.signal.aborted) dropTurn(watch, failure, refused);
    return null;
  }
  await finishTurn(watch, end);
  return { end, card: watch.card };
}

/** Takes up the turn of a character that this tab left running; gives whether there is one. */
export function resumeTurn(characterId) {
  const left = running.all()[characterId];
  if (left) watchTurn({ turnId: left.turn_id, action: left.action });
  return Boolean(left);
}

/** Stops watching. The turn itself goes on, and is taken up again when its character is. */
export function leaveTurn() {
  page.watch?.controller.abort();
  page.watch = null;
  drawComposer();
}

export function isComplete(end) {
  return end.type === "complete" || end.type === "answer" || end.turn?.status === "complete";
}

function follow(watch, { turnId, open, reposts }) {
  return new Follower({
    turnId,
    open,
    reposts,
    signal: watch.controller.signal,
    onTurn: (id) => {
      watch.turnId = id;
      unsent = null;
      remember(watch);
    },
    onEvent: (event) => drawEvent(watch, event),
    onLink: (connected, attempt) => drawLink(watch, connected, attempt),
  }).run();
}

function drawEvent(watch, event) {
  if (event.phase === "start" && !watch.action && !event.truncated) watch.action = event.user_action ?? "";
  if (event.character_id && !page.characterId) {
    takeCharacter(event.character_id);
    remember(watch);
  }
  keepingBottom(() => watch.card.apply(event));
  if (event.type !== "token") drawComposer();
}

function drawLink({ card }, connected, attempt) {
  keepingBottom(() => card.link(connected, attempt));
  if (connected) clearOffline();
  if (attempt === 1) announce("Connection lost. Reconnecting…");
}

/** What a reload needs to take up this turn again. */
function remember({ turnId, action }) {
  if (turnId && page.characterId) running.add(page.characterId, { turn_id: turnId, action });
}

async function finishTurn(watch, end) {
  running.remove(watch.turnId);
  page.watch = null;
  if (end.type === "answer") takeAnswer(watch, end.body);
  if (end.type === "stored") watch.card.showStored(end.turn);
  if (end.type === "answer") announce(watch.card.narrative);
  else if (!isComplete(end)) announce(end.message ?? "The turn was not finished.");
  if (watch.resumed) dropTwin(watch);
  if (!isComplete(end) && watch.action) keepingBottom(() => watch.card.offer("Edit and try again", () => restoreAction(watch.action)));
  drawComposer();
  // The button that had the focus is gone. On a small screen it would only raise the keyboard.
  if (wide.matches && document.activeElement === document.body) byId("action").focus();
  if (page.characterId) await refreshSheet();
  showSpent();
  changed();
}

function takeAnswer({ card }, body) {
  if (body.character_id) takeCharacter(body.character_id);
  card.showAnswer(body.narrative ?? "");
}

/** The character that has just been made. */
function takeCharacter(characterId) {
  setCharacter(characterId, { drawn: true });
  replaceAddress(addressOf("characters", characterId));
}

/** A turn taken up again may already stand in the history that was loaded before it. */
function dropTwin({ card, turnId }) {
  for (const node of byId("story").querySelectorAll(".turn")) if (node !== card.node && node.dataset.turn === turnId) node.remove();
}

function dropTurn(watch, failure, refused) {
  page.watch = null;
  running.remove(watch.turnId);
  watch.card.node.remove();
  if (refused) refused(failure);
  else notice("turn-notice", failure);
  drawComposer();
  changed();
}

/** Plays an action of the character. */
export function act(action) {
  if (page.watch) return;
  byId("action").value = "";
  const headers = { "Idempotency-Key": keyFor(page.characterId, action), Accept: "text/event-stream" };
  const json = { character_id: page.characterId, user_action: action, ...(byId("manual").checked && { commit: "manual" }) };
  watchTurn({
    action,
    reposts: 1,
    open: (signal) => request("/turn/stream", { method: "POST", json, headers, signal }),
    refused: (failure) => refuseTurn(failure, action),
  });
}

function keyFor(characterId, action) {
  const same = unsent?.characterId === characterId && unsent.action === action;
  unsent = { characterId, action, key: same ? unsent.key : newKey() };
  return unsent.key;
}

function refuseTurn(failure, action) {
  if (!byId("action").value) byId("action").value = action;
  if (failure instanceof Problem) unsent = null;
  const watchOther = () => watchTurn({ turnId: failure.turnId, action: "" });
  const offer = failure.type === "turn_in_progress" && failure.turnId ? { label: "Watch the running turn", onclick: watchOther } : null;
  notice("turn-notice", failure, offer);
}

function onManual(event) {
  localStorage.setItem(MANUAL, event.target.checked ? "1" : "0");
  unsent = null; // another body needs another key
}

/** Commits or retells the turn that awaits it. */
async function onChoice(choice, json = null) {
  const { watch } = page;
  if (!watch?.card.awaiting || watch.choosing) return;
  watch.choosing = true;
  drawComposer();
  try {
    const place = page.table ? `/api/sessions/${page.table.id}` : `/turns/${encodeURIComponent(watch.turnId)}`;
    await request(`${place}/${choice}`, { method: "POST", ...(json && { json }) });
    byId("guidance").value = "";
  } catch (failure) {
    if (page.watch === watch) notice("turn-notice", failure);
  }
  watch.choosing = false;
  drawComposer();
}

export async function stopTurn() {
  const { watch } = page;
  if (!watch?.turnId || watch.cancelling || !watch.card.cancellable) return;
  watch.cancelling = true;
  drawComposer();
  try {
    // At a table everybody may stop the turn that runs.
    const path = page.table ? `/api/sessions/${page.table.id}/x_card` : `/turns/${encodeURIComponent(watch.turnId)}/cancel`;
    await request(path, { method: "POST" });
  } catch (failure) {
    watch.cancelling = false;
    if (page.watch === watch) notice("turn-notice", failure);
    drawComposer();
  }
}

function restoreAction(action) {
  byId("action").value = action;
  byId("action").focus();
  drawComposer();
}
