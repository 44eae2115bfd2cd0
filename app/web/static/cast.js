/** The player's characters: the list, opening one, making a new one. */

import { Problem, getJSON, request } from "./api.js";
import { byId, el, fill } from "./dom.js";
import { clearHistory, showStory } from "./past.js";
import { askToken, changed, clearNotice, entitle, lastCharacter, notice, page, refreshSheet, setCharacter, show, showPanels, toBottom, wide } from "./page.js";
import { addressOf, goTo } from "./route.js";
import { statusMark, summaryLine } from "./sheet.js";
import { drawTables } from "./tables.js";
import { leaveTurn, resumeTurn, isComplete, watchTurn } from "./turns.js";

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
}

/** Reads and draws the list; null where that failed, which is shown, with `again` as the way out. */
export async function loadCast(again) {
  try {
    const { characters = [] } = await getJSON("/characters");
    fill(byId("cast-list"), characters.map(castEntry));
    byId("cast").hidden = false;
    markCurrent();
    clearNotice("page-notice");
    drawTables();
    return characters;
  } catch (failure) {
    if (failure.status === 403) askToken(failure);
    if (failure.status === 401 || failure.status === 403) return null;
    notice("page-notice", failure, { label: "Try again", onclick: again });
    return null;
  }
}

/** The character whose story was open last in this tab, else the newest; undefined without any. */
export function firstOf(characters) {
  return characters.find((character) => character.character_id === lastCharacter()) ?? characters[0];
}

function castEntry(character) {
  const label = [
    el("span", { class: "cast-name" }, character.name ?? "Unnamed"),
    el("span", { class: "quiet" }, summaryLine({ race: character.race, role: character.class })),
    character.status === "Healthy" ? null : statusMark(character.status ?? ""),
  ];
  const id = character.character_id;
  return el("li", {}, el("a", { class: "cast-entry", href: addressOf("characters", id), "data-id": id }, label));
}

function markCurrent() {
  for (const link of byId("cast-list").querySelectorAll("a"))
    if (link.dataset.id === page.characterId) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
}

export async function openCharacter(characterId) {
  if (page.characterId === characterId && (page.watch || page.drawn)) return showOpen();
  leaveTurn();
  setCharacter(characterId);
  markCurrent();
  clearNotice("turn-notice");
  const sheet = await refreshSheet();
  if (page.characterId !== characterId) return;
  if (!sheet) entitle("This story cannot be read");
  await showStory(characterId);
  if (page.characterId !== characterId) return;
  showOpen();
  toBottom();
  if (!resumeTurn(characterId) && sheet?.activeTurn) watchTurn({ turnId: sheet.activeTurn, action: "" });
  else if (sheet && !page.watch && !byId("story").hasChildNodes()) byId("story").append(openingOffer(characterId));
  page.drawn = true;
  changed();
}

function showOpen() {
  show("tale");
  showPanels("sheet-panel", "dice-panel");
  entitle(byId("tale-title").textContent);
  if (!wide.matches) byId("cast").open = false;
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

export function openCreation() {
  clearNotice("creation-notice");
  byId("back").hidden = !page.characterId;
  byId("back").href = addressOf("characters", page.characterId ?? "");
  show("creation");
  entitle("");
  byId("name").focus();
}

async function onCreate(event) {
  event.preventDefault();
  const fields = creationFields();
  const before = page.characterId;
  leaveTurn();
  beginTale(fields.name);
  const watched = await watchTurn({
    action: "",
    open: (signal) => request("/characters", { method: "POST", json: fields, headers: { Accept: "text/event-stream" }, signal }),
    refused: (failure) => refuseCreation(failure, before),
  });
  if (!watched) return;
  if (isComplete(watched.end)) byId("creation").reset();
  else watched.card.offer("Back to the character form", () => goTo(addressOf("new")));
  await loadCast(null);
}

function creationFields() {
  const fields = [...new FormData(byId("creation"))].map(([name, value]) => [name, value.trim()]);
  return Object.fromEntries(fields.filter(([name, value]) => value || name !== "adventure_prompt"));
}

function beginTale(name) {
  setCharacter(null);
  markCurrent();
  showPanels("dice-panel");
  entitle(name);
  clearHistory();
  show("tale");
}

async function refuseCreation(failure, before) {
  if (before) await openCharacter(before);
  openCreation();
  notice("creation-notice", failure);
  // A broken connection may hide a success: the list shows it.
  if (!(failure instanceof Problem) || failure.type === "character_exists") await loadCast(null);
}

function onSurprise() {
  const pick = SURPRISES[Math.floor(Math.random() * SURPRISES.length)];
  ["name", "race", "class_name", "adventure_prompt"].forEach((field, index) => (byId(field).value = pick[index]));
}
