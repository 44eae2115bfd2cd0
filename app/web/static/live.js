/** Keeping a page true to its character: turns played on another device, a server that came back. */

import { enter, showStory } from "./cast.js";
import { byId } from "./dom.js";
import { clearOffline, drawSheet, fetchSheet, page } from "./page.js";
import { resumeTurn, watchTurn } from "./turns.js";

const PAUSE_MS = 4000;

export function setUpLive() {
  setInterval(look, PAUSE_MS);
  document.addEventListener("visibilitychange", look);
  addEventListener("online", look);
}

let looking = false;

/** Nothing is asked while the page is hidden or a turn is being watched: the turn's own stream tells. */
async function look() {
  if (looking || document.hidden || page.watch || !byId("gate").hidden) return;
  looking = true;
  try {
    if (page.characterId) await lookAtCharacter(page.characterId);
    else if (document.querySelector("[data-offline]")) await enter();
  } catch {
    // The next look tells; what the player does meanwhile says what is wrong.
  } finally {
    looking = false;
  }
}

async function lookAtCharacter(characterId) {
  const sheet = await fetchSheet(characterId);
  clearOffline();
  if (page.characterId !== characterId || page.watch) return;
  if (sheet.turnCount !== page.turnCount) {
    drawSheet(sheet);
    page.turnCount = sheet.turnCount;
    await showStory(characterId);
  }
  if (page.characterId !== characterId || page.watch || resumeTurn(characterId)) return;
  if (sheet.activeTurn) watchTurn({ turnId: sheet.activeTurn, action: "" });
}
