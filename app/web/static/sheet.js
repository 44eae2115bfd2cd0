/** The character sheet: `GET /characters/{id}`, read and drawn. */

import { el, fill } from "./dom.js";

/** A flat sheet of what the API gives. */
export function readSheet(character) {
  const context = character.context ?? {};
  return {
    id: character.character_id,
    name: character.name || "Unnamed",
    race: character.race ?? "",
    role: character.class ?? "",
    status: context.status ?? character.status ?? "",
    location: context.location?.display_name || context.location?.id || "",
    spot: context.location?.minor_location ?? "",
    quest: context.quest ?? null,
    past: list(context.past_quests),
    earned: context.earned ?? {},
    enemies: context.combat?.active ? list(context.combat.state?.enemies) : [],
    carried: [...list(context.equipment), ...list(context.inventory)],
    places: list(context.world?.pois_sample).map((poi) => poi?.name).filter(Boolean),
    turnCount: character.turns ?? 0,
    activeTurn: character.active_turn?.turn_id ?? null,
  };
}

export function summaryLine(sheet) {
  return [sheet.race, sheet.role].filter(Boolean).join(" ");
}

export function renderSheet(node, sheet) {
  return fill(
    node,
    el("p", { class: "sheet-name" }, sheet.name),
    el("p", { class: "quiet" }, summaryLine(sheet)),
    el("dl", { class: "facts" }, fact("Condition", statusMark(sheet.status)), fact("Where", whereabouts(sheet))),
    combatPart(sheet.enemies),
    questPart(sheet.quest),
    pastPart(sheet.past),
    listPart("Earned", rewardWords(sheet.earned)),
    listPart("Carried", sheet.carried),
    listPart("Places known", sheet.places),
  );
}

export function statusMark(status, words = status) {
  if (!status) return null;
  const kind = ["healthy", "wounded", "dead"].find((known) => known === status.toLowerCase()) ?? "other";
  return el("span", { class: `status status-${kind}` }, words);
}

export function fact(term, value) {
  return value ? [el("dt", {}, term), el("dd", {}, value)] : [];
}

function whereabouts({ spot, location }) {
  if (!spot) return location;
  return [el("span", { class: "spot" }, capital(spot)), location ? el("span", { class: "quiet" }, `, ${location}`) : null];
}

function questPart(quest) {
  if (!quest) return section("Quest", el("p", { class: "quiet" }, "None for now."));
  const reward = rewardWords(quest.rewards);
  return section(
    "Quest",
    el("p", { class: "strong" }, quest.name || "A quest"),
    quest.description ? el("p", {}, quest.description) : null,
    stepList(list(quest.steps)),
    reward.length ? el("p", { class: "quiet" }, `Reward: ${reward.join(", ")}`) : null,
    list(quest.progress).slice(-3).map((note) => el("p", { class: "note" }, newsOf(note, quest.steps))),
  );
}

/** A note often begins with the step it fulfils, which stands above already. */
function newsOf(note, steps) {
  const step = list(steps).find(({ text }) => note.startsWith(`${text}: `));
  return step ? note.slice(step.text.length + 2) : note;
}

function stepList(steps) {
  if (!steps.length) return null;
  return el("ul", { class: "bare quest-steps" }, steps.map(stepLine));
}

function stepLine({ text, done }) {
  return el("li", { class: done ? "quest-step done" : "quest-step" }, el("span", { class: "sr-only" }, done ? "Done: " : "To do: "), text);
}

function pastPart(past) {
  return past.length ? section("Quests past", el("ul", { class: "bare" }, past.map(pastLine))) : null;
}

function pastLine({ name, outcome }) {
  const done = outcome === "completed";
  return el("li", { class: done ? "quest-step done" : "quest-step gone" }, name || "A quest", done ? null : el("span", { class: "quiet" }, " (given up)"));
}

function rewardWords(rewards) {
  return [
    ...list(rewards?.items),
    ...Object.entries(rewards?.currency ?? {}).map(([name, amount]) => `${amount} ${name}`),
    rewards?.experience ? `${rewards.experience} experience` : null,
  ].filter(Boolean);
}

function combatPart(enemies) {
  if (!enemies.length) return null;
  const rows = enemies.map((enemy) => {
    const down = enemy.status === "Dead";
    return el("li", { class: down ? "enemy down" : "enemy" }, el("span", {}, enemy.name || "An enemy"), statusMark(enemy.status ?? "", down ? "Down" : enemy.status));
  });
  return section("In a fight", el("ul", { class: "bare" }, rows));
}

function listPart(title, names) {
  return names.length ? section(title, el("ul", {}, names.map((name) => el("li", {}, name)))) : null;
}

function section(title, ...children) {
  return el("section", {}, el("h3", {}, title), children);
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function list(value) {
  return Array.isArray(value) ? value : [];
}
