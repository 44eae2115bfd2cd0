/** The character sheet: read tolerantly from what the API gives, then drawn. */

import { el, fill } from "./dom.js";

/**
 * A flat sheet from `GET /characters/{id}`, whether the context stands beside the character, inside
 * it, or alone. `turns` are the past turns, oldest first.
 */
export function readSheet(payload) {
  const character = payload?.character ?? {};
  const context = payload?.context ?? character.context ?? {};
  const pick = (name) => context[name] ?? character[name] ?? payload?.[name];
  const player = pick("player_state") ?? {};
  const identity = player.identity ?? {};
  return {
    id: pick("character_id"),
    name: identity.name ?? pick("name") ?? "Unnamed",
    race: identity.race ?? pick("race") ?? "",
    role: identity.class ?? pick("class") ?? pick("class_name") ?? "",
    status: player.status ?? pick("status") ?? "",
    location: placeName(player.location ?? pick("location"), pick("location_display_name")),
    quest: pick("quest") ?? pick("active_quest") ?? null,
    progress: progressNotes(pick("quest_progress") ?? pick("progress")),
    enemies: enemiesOf(pick("combat") ?? pick("combat_state")),
    carried: [...list(player.equipment), ...list(player.inventory)].map(itemName).filter(Boolean),
    places: list(pick("world")?.pois_sample ?? pick("pois")).map((poi) => poi?.name).filter(Boolean),
    turns: list(pick("narrative")?.recent_turns ?? pick("recent_turns")).map(pastTurn),
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
    el("dl", { class: "facts" }, fact("Condition", statusMark(sheet.status)), fact("Where", sheet.location)),
    questPart(sheet),
    combatPart(sheet.enemies),
    listPart("Carried", sheet.carried),
    listPart("Places known", sheet.places),
  );
}

export function statusMark(status) {
  if (!status) return null;
  const kind = ["healthy", "wounded", "dead"].find((known) => known === status.toLowerCase()) ?? "other";
  return el("span", { class: `status status-${kind}` }, status);
}

function fact(term, value) {
  return value ? [el("dt", {}, term), el("dd", {}, value)] : [];
}

function questPart({ quest, progress }) {
  if (!quest) return section("Quest", el("p", { class: "quiet" }, "None for now."));
  const wanted = list(quest.requirements).map((text) => el("li", {}, String(text)));
  return section(
    "Quest",
    el("p", { class: "strong" }, quest.name ?? quest.title ?? "A quest"),
    quest.description ? el("p", {}, quest.description) : null,
    wanted.length ? el("ul", {}, wanted) : null,
    rewardLine(quest.rewards),
    progress.map((note) => el("p", { class: "note" }, note)),
  );
}

function rewardLine(rewards) {
  const parts = [
    ...list(rewards?.items),
    ...Object.entries(rewards?.currency ?? {}).map(([name, amount]) => `${amount} ${name}`),
    rewards?.experience ? `${rewards.experience} experience` : null,
  ].filter(Boolean);
  return parts.length ? el("p", { class: "quiet" }, `Reward: ${parts.join(", ")}`) : null;
}

function combatPart(enemies) {
  if (!enemies.length) return null;
  const rows = enemies.map((enemy) =>
    el("li", { class: "enemy" }, el("span", {}, enemy.name ?? "An enemy"), statusMark(enemy.status ?? "")),
  );
  return section("In combat", el("ul", { class: "bare" }, rows));
}

function listPart(title, names) {
  return names.length ? section(title, el("ul", {}, names.map((name) => el("li", {}, name)))) : null;
}

function section(title, ...children) {
  return el("section", {}, el("h3", {}, title), children);
}

function placeName(location, fallback) {
  if (typeof location === "string") return location;
  return location?.display_name ?? location?.name ?? fallback ?? location?.id ?? "";
}

function enemiesOf(combat) {
  const state = combat?.state ?? combat;
  return combat?.active === false ? [] : list(state?.enemies);
}

function progressNotes(progress) {
  const notes = typeof progress === "string" ? [progress] : list(progress);
  return notes.map((note) => (typeof note === "string" ? note : note?.text ?? note?.progress_update)).filter(Boolean);
}

function itemName(item) {
  if (typeof item === "string") return item;
  return item?.quantity > 1 ? `${item.name} × ${item.quantity}` : item?.name;
}

function pastTurn(turn) {
  return {
    action: turn?.player_action ?? turn?.user_action ?? "",
    narrative: turn?.gm_response ?? turn?.ai_response ?? turn?.narrative ?? "",
  };
}

function list(value) {
  return Array.isArray(value) ? value : [];
}
