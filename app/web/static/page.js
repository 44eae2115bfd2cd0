/** What the parts of the play page share: whose story is shown, notices, the sheet, scrolling. */

import { Problem, getJSON } from "./api.js";
import { byId, el, fill } from "./dom.js";
import { NotAccepted } from "./follow.js";
import { readSheet, renderSheet } from "./sheet.js";

const CURRENT = "dm.character";
const SECTIONS = ["gate", "creation", "tale"];
const NEAR_BOTTOM_PX = 80;

export const wide = matchMedia("(min-width: 900px)");

export const page = {
  characterId: null,
  /** The turn being watched, or null: see turns.js. */
  watch: null,
};

export function setCharacter(characterId) {
  page.characterId = characterId;
  if (characterId) sessionStorage.setItem(CURRENT, characterId);
}

export function lastCharacter() {
  return sessionStorage.getItem(CURRENT);
}

export function show(section) {
  for (const id of SECTIONS) byId(id).hidden = id !== section;
}

/** Only where there is room are the side panels open by themselves. */
export function foldPanels() {
  byId("cast").open = wide.matches;
  byId("sheet-panel").open = wide.matches;
}

/** Reads the character again, draws the sheet, and gives it back; null where that failed. */
export async function refreshSheet() {
  const { characterId } = page;
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

/** Shows a failure where it happened; `offer` is a way out, `{label, onclick}`. */
export function notice(id, failure, offer = null) {
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

export function clearNotice(id) {
  fill(byId(id));
}

/** For those who listen: finished texts only, never single tokens. */
export function announce(text) {
  fill(byId("announcer"), text);
}

/** Makes a change and follows the text down, unless the reader has scrolled away from its end. */
export function keepingBottom(change) {
  const atBottom = innerHeight + scrollY >= document.documentElement.scrollHeight - NEAR_BOTTOM_PX;
  change();
  if (atBottom) toBottom();
}

let scrolling = false;

export function toBottom() {
  if (scrolling) return;
  scrolling = true;
  requestAnimationFrame(() => {
    scrolling = false;
    scrollTo(0, document.documentElement.scrollHeight);
  });
}
