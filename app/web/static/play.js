/** The play page: puts its parts together and opens the story. */

import { UNAUTHORIZED, getJSON, token, tokenFrom } from "./api.js";
import { enter, setUpCast } from "./cast.js";
import { byId, fill } from "./dom.js";
import { setUpLive } from "./live.js";
import { askToken } from "./page.js";
import { leaveTurn, setUpComposer } from "./turns.js";

const STATE_WORD = /^(healthy|ok|up|available|ready|degraded|unhealthy|down|unavailable)$/i;
const WORKINGS = "dm.workings";

setUpCast();
setUpComposer();
setUpLive();
setUpWorkings();
addEventListener(UNAUTHORIZED, onUnauthorized);
byId("gate").addEventListener("submit", onToken);
byId("change-token").addEventListener("click", onChangeToken);
showTeller();
drawTokenButton();
enter();

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

async function showTeller() {
  try {
    fill(byId("teller"), tellerLine(await getJSON("/health")));
  } catch {
    fill(byId("teller"));
  }
}

/** `model` names the teller; without it, what is said of the model's health has to do. */
function tellerLine(health) {
  const name = health?.model ?? health?.components?.llm;
  const degraded = health?.status && health.status !== "healthy" ? `The service is ${health.status}.` : "";
  if (!name) return degraded;
  const teller = STATE_WORD.test(name) ? `The storyteller is ${name}.` : `Told by ${name}.`;
  return [teller, degraded].filter(Boolean).join(" ");
}
