/** The play page: puts its parts together and opens the story. */

import { getJSON, token } from "./api.js";
import { enter, setUpCast } from "./cast.js";
import { byId, fill } from "./dom.js";
import { setUpComposer } from "./turns.js";

const STATE_WORD = /^(healthy|ok|up|available|ready|degraded|unhealthy|down|unavailable)$/i;

setUpCast();
setUpComposer();
byId("gate").addEventListener("submit", onToken);
showTeller();
enter();

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

/** `model` names the teller; without it, what is said of the model's health has to do. */
function tellerLine(health) {
  const name = health?.model ?? health?.components?.llm;
  const degraded = health?.status && health.status !== "healthy" ? `The service is ${health.status}.` : "";
  if (!name) return degraded;
  const teller = STATE_WORD.test(name) ? `The storyteller is ${name}.` : `Told by ${name}.`;
  return [teller, degraded].filter(Boolean).join(" ");
}
