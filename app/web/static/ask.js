/** Asking about the story, out of character: nothing of it is a turn, and nothing is kept. */

import { request } from "./api.js";
import { byId, el, fill } from "./dom.js";
import { clearNotice, keepingBottom, notice, page } from "./page.js";
import { announce } from "./speech.js";

/** The answer stands in the story until the page is left. */
export async function ask(question) {
  clearNotice("turn-notice");
  const answer = el("p", { class: "state quiet waiting" }, "Looking back…");
  const card = el("aside", { class: "aside" }, el("p", { class: "asked" }, question), answer);
  keepingBottom(() => byId("story").append(card));
  try {
    const said = await (await request(...call(question))).json();
    keepingBottom(() => fill(card, el("p", { class: "asked" }, question), el("p", {}, said.answer)));
    announce(said.answer);
  } catch (failure) {
    card.remove();
    if (!byId("action").value) byId("action").value = question;
    notice("turn-notice", failure);
  }
}

function call(question) {
  if (page.table) return [`/api/sessions/${page.table.id}/ask`, { method: "POST", json: { question } }];
  return ["/turns/ask", { method: "POST", json: { character_id: page.characterId, question } }];
}
