/** The player's characters: the list, opening one, making a new one. */

import { Problem, getJSON, request } from "./api.js";
import { byId, el, fill } from "./dom.js";
import { askToken, changed, clearNotice, foldPanels, keepingBottom, lastCharacter, notice, page, refreshSheet, setCharacter, show, toBottom, wide } from "./page.js";
import { statusMark, summaryLine } from "./sheet.js";
import { pastTurn, pastTurnCard } from "./story.js";
import { leaveTurn, resumeTurn, wasTold, watchTurn } from "./turns.js";

const SURPRISES = [
  ["Maren Ashdown", "Human", "Ranger", "A lighthouse whose lamp has burned black for three nights."],
  ["Tobin Quickwater", "Halfling", "Rogue", "A locked room in an inn, and the key is in my pocket."],
  ["Ysolde Fenn", "Elf", "Wizard", "A letter arrives from a friend I buried last winter."],
  ["Brakka Ironsong", "Dwarf", "Bard", "The mine has begun to sing back."],
  ["Osric Vane", "Half-orc", "Cleric", "The bells of the drowned abbey ring at low tide."],
  ["Pim Thistledown", "Gnome", "Fighter", "A toll bridge, a very polite troll, and no coin."],
];

export function setUpCast() {
  byId("creation").addEventListener("submit", onCreate);
  byId("surprise").addEventListener("click", onSurprise);
  byId("back").addEventListener("click", () => show("tale"));
  byId("new-character").addEventListener("click", openCreation);
  byId("earlier").addEventListener("click", onEarlier);
  wide.addEventListener("change", foldPanels);
  foldPanels();
}

/** Opens the story that was open last, the newest otherwise, or the form for a first character. */
export async function enter() {
  const characters = await loadCast();
  if (characters === null) return;
  const first = characters.find((character) => character.character_id === lastCharacter()) ?? characters[0];
  if (first) await openCharacter(first.character_id);
  else openCreation();
}

async function loadCast() {
  try {
    const { characters = [] } = await getJSON("/characters");
    drawCast(characters);
    clearNotice("page-notice");
    return characters;
  } catch (failure) {
    if (failure.status === 403) askToken(failure);
    if (failure.status === 401 || failure.status === 403) return null;
    notice("page-notice", failure, { label: "Try again", onclick: enter });
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
  clearNotice("turn-notice");
  const sheet = await refreshSheet();
  if (page.characterId !== characterId) return;
  await showStory(characterId);
  if (page.characterId !== characterId) return;
  show("tale");
  if (!wide.matches) byId("cast").open = false;
  toBottom();
  if (!resumeTurn(characterId) && sheet?.activeTurn) watchTurn({ turnId: sheet.activeTurn, action: "" });
  else if (sheet && !page.watch && !byId("story").hasChildNodes()) byId("story").append(openingOffer(characterId));
  page.drawn = true;
  changed();
}

/** For a character whose opening failed or was cancelled. */
function openingOffer(characterId) {
  const path = `/characters/${encodeURIComponent(characterId)}/opening`;
  const headers = { Accept: "text/event-stream" };
  const onclick = () => {
    fill(byId("story"));
    watchTurn({ action: "", open: (signal) => request(path, { method: "POST", json: {}, headers, signal }) });
  };
  return el("p", { class: "offer" }, "This story has not begun yet. ", el("button", { type: "button", class: "plain", onclick }, "Begin it"));
}

/** Where the story goes on before the turns shown, or null at its beginning. */
let earlier = null;

/** Draws the newest turns of the story. */
export async function showStory(characterId) {
  const found = await readTurns(characterId);
  if (!found || page.characterId !== characterId) return;
  const { turns, next } = found;
  setEarlier(next);
  keepingBottom(() => fill(byId("story"), turns.map(pastTurnCard)));
}

async function onEarlier() {
  const { characterId } = page;
  byId("earlier").disabled = true;
  try {
    const found = await readTurns(characterId, earlier);
    if (found && page.characterId === characterId) prepend(found);
  } finally {
    byId("earlier").disabled = false;
  }
}

/** What is being read stays where it is. */
function prepend({ turns, next }) {
  const height = document.documentElement.scrollHeight;
  byId("story").prepend(...turns.map(pastTurnCard));
  scrollBy(0, document.documentElement.scrollHeight - height);
  setEarlier(next);
}

function setEarlier(next) {
  earlier = next;
  byId("earlier").hidden = !next;
}

/** A page of finished turns, oldest first; null where it cannot be read. */
async function readTurns(characterId, before = null) {
  const query = before ? `?limit=20&before=${encodeURIComponent(before)}` : "?limit=20";
  try {
    const { turns, next } = await getJSON(`/characters/${encodeURIComponent(characterId)}/turns${query}`);
    return { turns: turns.filter((turn) => turn.status === "complete").map(pastTurn).reverse(), next: next ?? null };
  } catch (failure) {
    notice("turn-notice", failure);
    return null;
  }
}

function openCreation() {
  clearNotice("creation-notice");
  byId("back").hidden = !page.characterId;
  show("creation");
  byId("name").focus();
}

async function onCreate(event) {
  event.preventDefault();
  const fields = creationFields();
  const before = page.characterId;
  leaveTurn();
  beginTale(fields.name);
  const told = await watchTurn({
    action: "",
    open: (signal) => request("/characters", { method: "POST", json: fields, headers: { Accept: "text/event-stream" }, signal }),
    refused: (failure) => refuseCreation(failure, before),
  });
  if (!told) return;
  if (wasTold(told.end)) byId("creation").reset();
  else told.card.offer("Back to the character form", openCreation);
  await loadCast();
}

function creationFields() {
  const fields = [...new FormData(byId("creation"))].map(([name, value]) => [name, value.trim()]);
  return Object.fromEntries(fields.filter(([name, value]) => value || name !== "adventure_prompt"));
}

function beginTale(name) {
  setCharacter(null);
  markCurrent();
  byId("sheet-panel").hidden = true;
  fill(byId("tale-title"), name);
  fill(byId("story"));
  setEarlier(null);
  show("tale");
}

async function refuseCreation(failure, before) {
  if (before) await openCharacter(before);
  openCreation();
  notice("creation-notice", failure);
  // A broken connection may hide a success: the list tells.
  if (!(failure instanceof Problem) || failure.type === "character_exists") await loadCast();
}

function onSurprise() {
  const pick = SURPRISES[Math.floor(Math.random() * SURPRISES.length)];
  ["name", "race", "class_name", "adventure_prompt"].forEach((field, index) => (byId(field).value = pick[index]));
}
