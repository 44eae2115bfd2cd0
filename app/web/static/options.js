/** What the player could do, as buttons: a button puts its words into the field and sends them. */

import { byId, el, fill } from "./dom.js";
import { SHEET, page } from "./page.js";

const MOST = 4;

/** `act(words)` plays them. */
export function setUpOptions(act) {
  byId("options").addEventListener("click", ({ target }) => target.matches("button") && act(target.textContent));
  addEventListener(SHEET, ({ detail }) => page.table || showOptions(suggestions(detail)));
}

export function showOptions(options) {
  fill(byId("options"), options.map((words) => el("button", { type: "button", class: "plain option" }, words)));
}

/** A character's turn names no options, so they come from its sheet. */
export function suggestions(sheet) {
  if (sheet.status === "Dead") return [];
  const foe = sheet.enemies.find((enemy) => enemy.status !== "Dead");
  if (foe) return [`I attack ${withArticle(foe.name)}.`, "I defend myself.", "I try to talk.", "I run."];
  const options = isNew(sheet.quest) ? ["Yes, I will do it.", "No, that is not for me."] : ["I go on."];
  options.push("I look around.", sheet.quest ? "I ask about it." : "I talk to whoever is near.");
  if (sheet.status === "Wounded") options.push("I rest.");
  return options.slice(0, MOST);
}

function isNew(quest) {
  return quest && !(quest.progress ?? []).length && !(quest.steps ?? []).some((step) => step.done);
}

function withArticle(name) {
  return /^(the|a|an) /i.test(name ?? "") ? name : `the ${name ?? "enemy"}`;
}
