/** The play page: puts its parts together and opens the story. */

import { UNAUTHORIZED, getJSON, token, tokenFrom } from "./api.js";
import { ask } from "./ask.js";
import { firstOf, loadCast, openCharacter, openCreation, setUpCast } from "./cast.js";
import { setUpComposer } from "./composer.js";
import { rollDie, setUpDice, showRoll } from "./dice.js";
import { byId, fill } from "./dom.js";
import { setUpKeeping } from "./keep.js";
import { setUpLive } from "./live.js";
import { setUpOptions } from "./options.js";
import { askToken, foldPanels, page, wide } from "./page.js";
import { setUpPast } from "./past.js";
import { setUpReading } from "./reading.js";
import { addressOf, replaceAddress, route } from "./route.js";
import { showSpent } from "./spent.js";
import { openSeating, openTable, setUpTables } from "./tables.js";
import { act, leaveTurn, setUpTurns, stopTurn } from "./turns.js";

const STATE_WORD = /^(healthy|ok|up|available|ready|degraded|unhealthy|down|unavailable)$/i;
const WORKINGS = "dm.workings";

setUpReading();
setUpCast();
setUpTables();
setUpPast();
setUpTurns();
setUpComposer({ send: play, stop: stopTurn, ask, say: (words) => page.table?.say(words) });
setUpOptions(play);
setUpDice(roll);
setUpKeeping();
setUpLive(enter);
setUpWorkings();
wide.addEventListener("change", foldPanels);
foldPanels();
addEventListener(UNAUTHORIZED, onUnauthorized);
addEventListener("hashchange", open);
byId("gate").addEventListener("submit", onToken);
byId("change-token").addEventListener("click", onChangeToken);
showNarrator();
drawTokenButton();
enter();

/** Reads what there is, then opens what the address names. */
async function enter() {
  if (route().extra) return open(); // a guest has no list
  const characters = await loadCast(enter);
  if (characters === null) return;
  if (!route().place) replaceAddress(placeFor(firstOf(characters)));
  await open();
}

function placeFor(character) {
  return character ? addressOf("characters", character.character_id) : addressOf("new");
}

async function open() {
  const { place, id, extra } = route();
  if (!place) return enter();
  await openPlace(place, id, extra);
  showSpent();
}

function openPlace(place, id, extra) {
  if (place === "new") return openCreation();
  if (place === "tables") return id ? openTable(id, extra) : openSeating();
  return openCharacter(id);
}

function play(words) {
  if (page.table) page.table.act(words);
  else act(words);
}

function roll(sides) {
  if (page.table) return page.table.roll(sides);
  const value = rollDie(sides);
  showRoll(`d${sides}`, value);
  byId("action").value = `${byId("action").value.trimEnd()} (I roll ${value} on a d${sides}.)`.trim();
  byId("action").focus();
}

function onUnauthorized({ detail }) {
  leaveTurn();
  askToken(detail);
}

function onToken(event) {
  event.preventDefault();
  try {
    token.set(tokenFrom(byId("gate-token").value));
  } catch (failure) {
    byId("gate-reason").textContent = failure.message;
    byId("gate-reason").classList.add("verdict");
    return;
  }
  byId("gate-token").value = "";
  byId("gate").hidden = true;
  drawTokenButton();
  enter();
}

function onChangeToken() {
  leaveTurn();
  token.set("");
  drawTokenButton();
  askToken({});
}

function drawTokenButton() {
  byId("change-token").hidden = !token.get();
}

/** Phases, dice, figures and request ids: for operators, hidden until F2 is pressed. */
function setUpWorkings() {
  const draw = (shown) => document.body.classList.toggle("workings", shown);
  draw(localStorage.getItem(WORKINGS) === "1");
  addEventListener("keydown", (event) => {
    if (event.key !== "F2") return;
    event.preventDefault();
    localStorage.setItem(WORKINGS, draw(!document.body.classList.contains("workings")) ? "1" : "0");
  });
}

async function showNarrator() {
  try {
    fill(byId("narrator"), narratorLine(await getJSON("/health")));
  } catch {
    fill(byId("narrator"));
  }
}

/** Who narrates: `model` if it is there, otherwise the health of the model. */
function narratorLine(health) {
  const name = health?.model ?? health?.components?.llm;
  const degraded = health?.status && health.status !== "healthy" ? `The service is ${health.status}.` : "";
  if (!name) return degraded;
  const narrator = STATE_WORD.test(name) ? `The storyteller is ${name}.` : `Told by ${name}.`;
  return [narrator, degraded].filter(Boolean).join(" ");
}
