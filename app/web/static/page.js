/** What the parts of the play page share: whose story is shown, notices, the sheet, scrolling. */

import { Problem, getJSON, token } from "./api.js";
import { byId, el, fill } from "./dom.js";
import { NotAccepted } from "./follow.js";
import { readSheet, renderSheet } from "./sheet.js";

/** The event of the window after anything that decides which stream the page needs: see live.js. */
export const CHANGED = "dm-changed";

/** The event of the window when the sheet of the character was drawn; `detail` is the sheet. */
export const SHEET = "dm-sheet";

const SITE = "Dungeon Master";
const CURRENT = "dm.character";
const SECTIONS = ["gate", "creation", "seating", "tale"];
const PANELS = ["cast", "sheet-panel", "members-panel", "scene-panel", "dice-panel"];
const NEAR_BOTTOM_PX = 80;

export const wide = matchMedia("(min-width: 900px)");

export const page = {
  characterId: null,
  /** The table that is shown instead of a character: see table.js. */
  table: null,
  /** Whether its story is on the page. */
  drawn: false,
  /** The turn being watched, or null: see turns.js. */
  watch: null,
  /** Finished turns of the character that the page shows: see live.js. */
  turnCount: 0,
};

/** Says that `page` has changed. */
export function changed() {
  dispatchEvent(new Event(CHANGED));
}

export function setCharacter(characterId, { drawn = false } = {}) {
  page.characterId = characterId;
  page.table = null;
  page.drawn = drawn;
  if (characterId) sessionStorage.setItem(CURRENT, characterId);
  changed();
}

export function lastCharacter() {
  return sessionStorage.getItem(CURRENT);
}

export function show(section) {
  for (const id of SECTIONS) byId(id).hidden = id !== section;
  changed();
}

/** The panels that belong to what is shown. */
export function showPanels(...shown) {
  for (const id of PANELS.slice(1)) byId(id).hidden = !shown.includes(id);
  const together = shown.includes("members-panel");
  byId("manual-line").hidden = together;
  byId("say").hidden = !together;
  byId("table-state").hidden = !together;
}

/** Only where there is room are the side panels open by themselves. */
export function foldPanels() {
  for (const id of PANELS) byId(id).open = wide.matches;
}

/** Names the story above it and in the window's title. Without a name a form is shown, and the story behind it keeps its own. */
export function entitle(name) {
  if (name) fill(byId("tale-title"), name);
  document.title = name ? `${name} · ${SITE}` : SITE;
}

/** Reads the character again, draws the sheet, and gives it back; null where that failed. */
export async function refreshSheet() {
  const { characterId } = page;
  try {
    const sheet = await fetchSheet(characterId);
    if (page.characterId === characterId) {
      drawSheet(sheet);
      page.turnCount = sheet.turnCount;
    }
    return sheet;
  } catch (failure) {
    if (page.characterId === characterId) notice("turn-notice", failure);
    return null;
  }
}

export async function fetchSheet(characterId) {
  return readSheet(await getJSON(`/characters/${encodeURIComponent(characterId)}`));
}

export function drawSheet(sheet) {
  entitle(sheet.name);
  fill(byId("sheet-short"), [sheet.status, sheet.spot || sheet.location].filter(Boolean).join(" · "));
  renderSheet(byId("sheet"), sheet);
  byId("sheet-panel").hidden = false;
  dispatchEvent(new CustomEvent(SHEET, { detail: sheet }));
}

/** Shows a failure where it happened; `offer` is a way out, `{label, onclick}`. */
export function notice(id, failure, offer = null) {
  const wait = failure.retryAfter ? ` Try again in ${failure.retryAfter} s.` : "";
  const button = offer && el("button", { type: "button", class: "plain", onclick: offer.onclick }, offer.label);
  const offline = !(failure instanceof Problem || failure instanceof NotAccepted);
  fill(byId(id), el("div", { class: "notice", "data-offline": offline }, el("p", {}, wordsOf(failure) + wait), button, traceLine(failure)));
  changed();
}

/** For those who look into the workings. */
function traceLine({ requestId, phase }) {
  const parts = [phase && `Phase ${phase}`, requestId && `Request ${requestId}`].filter(Boolean);
  return parts.length ? el("span", { class: "trace quiet" }, parts.join(" · ")) : null;
}

/** Takes away what was said of an unreachable server; gives whether there was anything. */
export function clearOffline() {
  const notices = [...document.querySelectorAll("[data-offline]")];
  for (const node of notices) node.remove();
  return notices.length > 0;
}

/** Asks for a token, and says why the one in use will not do. */
export function askToken(problem) {
  byId("gate-reason").textContent = token.get() ? `Your token was not accepted: ${problem.message}` : "An access token is needed.";
  byId("gate-reason").classList.toggle("verdict", Boolean(token.get()));
  show("gate");
  byId("gate-token").focus();
}

function wordsOf(failure) {
  if (failure instanceof Problem) return failure.message;
  if (failure instanceof NotAccepted) return `${failure.message} Your words are kept; you can send them again.`;
  return "The server cannot be reached.";
}

export function clearNotice(id) {
  fill(byId(id));
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
