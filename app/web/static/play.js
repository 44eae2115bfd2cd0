/** The play page: characters, turns, and what to do when something goes wrong. */

import { Problem, getJSON, newKey, request, token } from "./api.js";
import { byId, el, fill } from "./dom.js";
import { Follower, NotAccepted } from "./follow.js";
import { readSheet, renderSheet, statusMark, summaryLine } from "./sheet.js";
import { TurnCard, pastTurnCard } from "./story.js";

const LONGEST_ACTION = 8000;
const COUNT_FROM = 7500;
const RUNNING = "dm.running";
const CURRENT = "dm.character";
const WIDE = matchMedia("(min-width: 900px)");

const page = {
  characterId: null,
  /** The turn being watched: {controller, card, turnId, action}. */
  watch: null,
  /** An action whose fate is unknown keeps its key, so that sending it again cannot tell it twice. */
  unsent: null,
};

/** Turns whose end this tab has not seen, `{character_id: {turn_id, action}}`: they outlive a reload. */
const running = {
  all: () => JSON.parse(sessionStorage.getItem(RUNNING) ?? "{}"),
  of: (characterId) => running.all()[characterId],
  add: (characterId, turn) => running.save({ ...running.all(), [characterId]: turn }),
  remove: (turnId) => running.save(Object.fromEntries(Object.entries(running.all()).filter(([, turn]) => turn.turn_id !== turnId))),
  save: (turns) => sessionStorage.setItem(RUNNING, JSON.stringify(turns)),
};

start();

async function start() {
  byId("creation").addEventListener("submit", onCreate);
  byId("surprise").addEventListener("click", onSurprise);
  byId("back").addEventListener("click", () => show("tale"));
  byId("new-character").addEventListener("click", openCreation);
  byId("composer").addEventListener("submit", onAct);
  byId("action").addEventListener("keydown", onActionKey);
  byId("action").addEventListener("input", drawComposer);
  byId("cancel").addEventListener("click", onCancel);
  byId("gate").addEventListener("submit", onToken);
  WIDE.addEventListener("change", foldPanels);
  foldPanels();
  showTeller();
  await enter();
}

async function enter() {
  const characters = await loadCast();
  if (characters === null) return;
  const last = sessionStorage.getItem(CURRENT);
  const first = characters.find((character) => character.character_id === last) ?? characters[0];
  if (first) await openCharacter(first.character_id);
  else openCreation();
}

// ---- characters

async function loadCast() {
  try {
    const { characters = [] } = await getJSON("/characters");
    drawCast(characters);
    fill(byId("page-notice"));
    return characters;
  } catch (failure) {
    if (failure.status === 401) show("gate");
    else notice("page-notice", failure, { label: "Try again", onclick: enter });
    return null;
  }
}

function drawCast(characters) {
  fill(byId("cast-list"), characters.map(castEntry));
  byId("cast").hidden = characters.length === 0;
  markCurrent();
}

function castEntry(character) {
  const label = [
    el("span", { class: "cast-name" }, character.name ?? "Unnamed"),
    el("span", { class: "quiet" }, summaryLine({ race: character.race, role: character.class })),
    character.status === "Healthy" ? null : statusMark(character.status ?? ""),
  ];
  const onclick = () => openCharacter(character.character_id);
  return el("li", {}, el("button", { type: "button", class: "cast-entry", "data-id": character.character_id, onclick }, label));
}

function markCurrent() {
  for (const button of byId("cast-list").querySelectorAll("button"))
    button.setAttribute("aria-current", String(button.dataset.id === page.characterId));
}

async function openCharacter(characterId) {
  leaveTurn();
  setCharacter(characterId);
  markCurrent();
  fill(byId("turn-notice"));
  const sheet = await refreshSheet();
  if (page.characterId !== characterId) return;
  fill(byId("story"), (sheet?.turns ?? []).map(pastTurnCard));
  show("tale");
  if (!WIDE.matches) byId("cast").open = false;
  toBottom();
  const left = running.of(characterId);
  if (left) watchTurn({ turnId: left.turn_id, action: left.action });
}

function setCharacter(characterId) {
  page.characterId = characterId;
  if (characterId) sessionStorage.setItem(CURRENT, characterId);
}

async function refreshSheet() {
  const characterId = page.characterId;
  try {
    const sheet = readSheet(await getJSON(`/characters/${encodeURIComponent(characterId)}`));
    if (page.characterId === characterId) drawSheet(sheet);
    return sheet;
  } catch (failure) {
    if (page.characterId === characterId) notice("turn-notice", failure);
    return null;
  }
}

function drawSheet(sheet) {
  fill(byId("tale-title"), sheet.name);
  fill(byId("sheet-short"), [sheet.status, sheet.location].filter(Boolean).join(" · "));
  renderSheet(byId("sheet"), sheet);
  byId("sheet-panel").hidden = false;
}

function openCreation() {
  fill(byId("creation-notice"));
  byId("back").hidden = !page.characterId;
  show("creation");
  byId("name").focus();
}

async function onCreate(event) {
  event.preventDefault();
  const form = byId("creation");
  const fields = Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, value.trim()]));
  if (!fields.adventure_prompt) delete fields.adventure_prompt;
  leaveTurn();
  const before = page.characterId;
  beginTale(fields);
  const end = await watchTurn({
    action: "",
    open: (signal) => request("/characters", { method: "POST", json: fields, headers: { Accept: "text/event-stream" }, signal }),
    refused: (failure) => refuseCreation(failure, before),
  });
  if (end?.type === "complete" || end?.type === "answer") form.reset();
  if (end) await loadCast();
}

function beginTale(fields) {
  setCharacter(null);
  markCurrent();
  byId("sheet-panel").hidden = true;
  fill(byId("tale-title"), fields.name);
  fill(byId("story"));
  show("tale");
}

async function refuseCreation(failure, before) {
  if (before) await openCharacter(before);
  openCreation();
  notice("creation-notice", failure);
  // The break may have hidden a success: the list tells.
  if (!(failure instanceof Problem) || failure.type === "character_exists") await loadCast();
}

const SURPRISES = [
  ["Maren Ashdown", "Human", "Ranger", "A lighthouse whose lamp has burned black for three nights."],
  ["Tobin Quickwater", "Halfling", "Rogue", "A locked room in an inn, and the key is in my pocket."],
  ["Ysolde Fenn", "Elf", "Wizard", "A letter arrives from a friend I buried last winter."],
  ["Brakka Ironsong", "Dwarf", "Bard", "The mine has begun to sing back."],
  ["Osric Vane", "Half-orc", "Cleric", "The bells of the drowned abbey ring at low tide."],
  ["Pim Thistledown", "Gnome", "Fighter", "A toll bridge, a very polite troll, and no coin."],
];

function onSurprise() {
  const pick = SURPRISES[Math.floor(Math.random() * SURPRISES.length)];
  ["name", "race", "class_name", "adventure_prompt"].forEach((field, index) => (byId(field).value = pick[index]));
}

// ---- turns

function onActionKey(event) {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  if (!byId("send").disabled) byId("composer").requestSubmit();
}

function onAct(event) {
  event.preventDefault();
  const action = byId("action").value.trim();
  if (!action || page.watch || length(action) > LONGEST_ACTION) return;
  byId("action").value = "";
  const key = keyFor(page.characterId, action);
  const json = { character_id: page.characterId, user_action: action };
  watchTurn({
    action,
    reposts: 1,
    open: (signal) => request("/turn/stream", { method: "POST", json, headers: { "Idempotency-Key": key }, signal }),
    refused: (failure) => refuseTurn(failure, action),
  });
}

function keyFor(characterId, action) {
  const same = page.unsent?.characterId === characterId && page.unsent.action === action;
  page.unsent = { characterId, action, key: same ? page.unsent.key : newKey() };
  return page.unsent.key;
}

function refuseTurn(failure, action) {
  if (!byId("action").value) byId("action").value = action;
  if (failure instanceof Problem) page.unsent = null;
  const watchOther = () => watchTurn({ turnId: failure.turnId, action: "" });
  const offer = failure.type === "turn_in_progress" && failure.turnId ? { label: "Watch the running turn", onclick: watchOther } : null;
  notice("turn-notice", failure, offer);
}

/**
 * Shows a turn from its first event to its last and resolves to how it ended, or to null when it
 * was refused or the page moved on. `refused` gets what the server, or the network, said instead.
 */
async function watchTurn({ turnId = null, open = null, reposts = 0, action, refused = null }) {
  fill(byId("turn-notice"));
  const controller = new AbortController();
  const watch = { controller, card: new TurnCard(action), turnId, action, cancelling: false };
  page.watch = watch;
  byId("story").append(watch.card.node);
  drawComposer();
  toBottom();
  try {
    const end = await followTurn(watch, { turnId, open, reposts });
    await finishTurn(watch, end);
    return end;
  } catch (failure) {
    if (!controller.signal.aborted) dropTurn(watch, failure, refused);
    return null;
  }
}

function followTurn(watch, { turnId, open, reposts }) {
  return new Follower({
    turnId,
    open,
    reposts,
    signal: watch.controller.signal,
    onTurn: (id) => {
      watch.turnId = id;
      page.unsent = null;
      remember(watch);
    },
    onEvent: (event) => drawEvent(watch, event),
    onLink: (connected, attempt) => keepingBottom(() => watch.card.link(connected, attempt)),
  }).run();
}

function drawEvent(watch, event) {
  if (event.type === "metadata" && event.character_id && !page.characterId) setCharacter(event.character_id);
  if (event.character_id) remember(watch);
  keepingBottom(() => watch.card.apply(event));
  if (event.type !== "token") drawComposer();
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
  const told = end.type === "complete" || end.type === "answer" || end.turn?.status === "complete";
  announce(told ? watch.card.narrative : end.message ?? "The turn was not finished.");
  if (told) dropTwin(watch.card);
  else keepingBottom(() => offerAgain(watch));
  drawComposer();
  if (page.characterId) await refreshSheet();
}

function offerAgain({ card, action }) {
  if (action) card.offer("Edit and try again", () => restoreAction(action));
  else card.offer("Back to the character form", openCreation);
}

function takeAnswer(watch, body) {
  if (body.character_id) setCharacter(body.character_id);
  watch.card.showAnswer(body.narrative ?? "");
}

/** A turn resumed after a reload may already stand in the history that was loaded before it. */
function dropTwin(card) {
  const before = card.node.previousElementSibling;
  if (before?.querySelector(".narrative")?.textContent === card.narrative) before.remove();
}

function dropTurn(watch, failure, refused) {
  page.watch = null;
  running.remove(watch.turnId);
  watch.card.node.remove();
  if (refused) refused(failure);
  else notice("turn-notice", failure);
  drawComposer();
}

/** Stops watching. The turn itself goes on, and is taken up again when its character is. */
function leaveTurn() {
  page.watch?.controller.abort();
  page.watch = null;
  drawComposer();
}

async function onCancel() {
  const watch = page.watch;
  if (!watch?.turnId) return;
  watch.cancelling = true;
  drawComposer();
  try {
    await request(`/turns/${encodeURIComponent(watch.turnId)}/cancel`, { method: "POST" });
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

// ---- the page

function drawComposer() {
  const count = length(byId("action").value.trim());
  const over = count > LONGEST_ACTION;
  const { watch } = page;
  byId("send").disabled = Boolean(watch) || over;
  byId("send").hidden = Boolean(watch);
  byId("cancel").hidden = !watch;
  byId("cancel").disabled = !watch?.turnId || watch.cancelling || !watch.card.cancellable;
  fill(byId("cancel"), watch?.cancelling ? "Cancelling…" : "Cancel turn");
  byId("counter").hidden = count < COUNT_FROM;
  byId("counter").classList.toggle("over", over);
  fill(byId("counter"), `${count} of ${LONGEST_ACTION}`);
}

function show(section) {
  for (const id of ["gate", "creation", "tale"]) byId(id).hidden = id !== section;
}

/** Only where there is room are the side panels open by themselves. */
function foldPanels() {
  byId("cast").open = WIDE.matches;
  byId("sheet-panel").open = WIDE.matches;
}

function notice(id, failure, offer = null) {
  const wait = failure.retryAfter ? ` Try again in ${failure.retryAfter} s.` : "";
  const trace = failure.requestId ? el("span", { class: "trace quiet" }, `Request ${failure.requestId}`) : null;
  const button = offer && el("button", { type: "button", class: "plain", onclick: offer.onclick }, offer.label);
  fill(byId(id), el("div", { class: "notice" }, el("p", {}, wordsOf(failure) + wait), button, trace));
}

function wordsOf(failure) {
  if (failure instanceof Problem) return failure.phase ? `${failure.message} (phase: ${failure.phase})` : failure.message;
  if (failure instanceof NotAccepted) return `${failure.message} Your words are kept; you can send them again.`;
  return "The server cannot be reached.";
}

function announce(text) {
  fill(byId("announcer"), text);
}

function keepingBottom(change) {
  const atBottom = innerHeight + scrollY >= document.documentElement.scrollHeight - 80;
  change();
  if (atBottom) toBottom();
}

let scrolling = false;

function toBottom() {
  if (scrolling) return;
  scrolling = true;
  requestAnimationFrame(() => {
    scrolling = false;
    scrollTo(0, document.documentElement.scrollHeight);
  });
}

function onToken(event) {
  event.preventDefault();
  token.set(byId("gate-token").value.trim());
  byId("gate").hidden = true;
  enter();
}

async function showTeller() {
  try {
    fill(byId("teller"), tellerLine(await getJSON("/health")));
  } catch {
    fill(byId("teller"));
  }
}

/** `components.llm` may be a word, or an object that names the model in one of several fields. */
function tellerLine(health) {
  const llm = health?.components?.llm ?? health?.llm;
  const name = typeof llm === "string" ? llm : llm?.detail ?? llm?.model ?? llm?.name ?? llm?.provider ?? health?.llm?.model;
  const plain = /^(healthy|ok|up|available|ready|degraded|unhealthy|down|unavailable)$/i;
  const degraded = health?.status && health.status !== "healthy" ? `The service is ${health.status}.` : "";
  if (!name) return degraded;
  const teller = plain.test(name) ? `The storyteller is ${name}.` : `Told by ${name}.`;
  return [teller, degraded].filter(Boolean).join(" ");
}

function length(text) {
  return [...text].length;
}
