/** The story so far: its newest turns, and back to the first one as the reader scrolls up. */

import { getJSON } from "./api.js";
import { byId, fill } from "./dom.js";
import { keepingBottom, notice, page } from "./page.js";
import { pastTurnCard } from "./story.js";

const NEAR_TOP_PX = 300;

/** Where the story goes on before the turns shown, or null at its beginning. */
let earlier = null;
let reading = false;

export function setUpPast() {
  byId("earlier").addEventListener("click", readEarlier);
  addEventListener("scroll", () => scrollY < NEAR_TOP_PX && readEarlier(), { passive: true });
}

/** Draws the newest turns of the story. */
export async function showStory(characterId) {
  const found = await readTurns(characterId);
  if (!found || page.characterId !== characterId) return;
  setEarlier(found.next);
  keepingBottom(() => fill(byId("story"), found.turns.map(pastTurnCard)));
}

export function clearHistory() {
  fill(byId("story"));
  setEarlier(null);
}

async function readEarlier() {
  const { characterId } = page;
  if (!earlier || reading || byId("tale").hidden) return;
  reading = true;
  try {
    const found = await readTurns(characterId, earlier);
    if (found && page.characterId === characterId) prepend(found);
  } finally {
    reading = false;
  }
}

/** What is being read stays where it is. */
function prepend({ turns, next }) {
  const height = document.documentElement.scrollHeight;
  const top = scrollY;
  byId("story").prepend(...turns.map(pastTurnCard));
  setEarlier(next);
  scrollTo(0, top + document.documentElement.scrollHeight - height);
}

function setEarlier(next) {
  earlier = next;
  byId("earlier").hidden = !next;
  byId("story").classList.toggle("from-start", !next);
}

/** A page of finished turns, newest first, and where the story goes on before it; null at its beginning. */
export async function turnsPage(characterId, limit, before = null) {
  const query = before ? `?limit=${limit}&before=${encodeURIComponent(before)}` : `?limit=${limit}`;
  const { turns, next } = await getJSON(`/characters/${encodeURIComponent(characterId)}/turns${query}`);
  return { turns: turns.filter((turn) => turn.status === "complete"), next: next ?? null };
}

/** The same, oldest first; null where it cannot be read. */
async function readTurns(characterId, before = null) {
  try {
    const { turns, next } = await turnsPage(characterId, 20, before);
    return { turns: turns.reverse(), next };
  } catch (failure) {
    notice("turn-notice", failure);
    return null;
  }
}
