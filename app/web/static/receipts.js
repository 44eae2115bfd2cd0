/** What became of a turn, in words: what was recorded, the dice, the figures. */

import { el } from "./dom.js";
import { money } from "./spent.js";

export const SUBSYSTEMS = ["quest", "combat", "poi", "narrative"];
const SUBSYSTEM_NAMES = { quest: "Quest", combat: "Fight", poi: "Place", narrative: "Story" };
const CHANGES = {
  quest: { offer: "a new quest", start: "a new quest", offered: "a new quest", advance: "the quest moves on", advanced: "the quest moves on", complete: "the quest is done", completed: "the quest is done", abandon: "the quest is given up", abandoned: "the quest is given up" },
  combat: { start: "a fight begins", started: "a fight begins", continue: "the fight goes on", continued: "the fight goes on", end: "the fight is over", ended: "the fight is over" },
  poi: { create: "a new place", reference: "back at a known place" },
  narrative: { create: "the story" },
};
const OUTCOME_WORDS = { planned: "Now", ok: "Saved", failed: "Not saved", skipped: "Left as it was", unwritten: "Not saved" };
const NO_ACTION = new Set(["none", "", null, undefined]);

export function isChange(action) {
  return !NO_ACTION.has(action);
}

/** `kind` is a key of `OUTCOME_WORDS`, or null for what was recorded long ago. */
export function receipt(subsystem, action, kind, error = null) {
  const what = CHANGES[subsystem]?.[action] ?? nameOf(subsystem).toLowerCase();
  const words = kind ? `${OUTCOME_WORDS[kind]}: ${what}` : capital(what);
  return el("li", { class: `receipt receipt-${kind ?? "ok"}`, title: error }, words);
}

/** The receipts of a turn of the past. */
export function receiptsOf(intents) {
  const changes = ["quest", "combat", "poi"].map((subsystem) => [subsystem, intents?.[`${subsystem}_intent`]?.action]);
  const shown = changes.filter(([, action]) => isChange(action)).map(([subsystem, action]) => receipt(subsystem, action, null));
  return shown.length ? el("ul", { class: "receipts", "aria-label": "What was recorded" }, shown) : null;
}

export function nameOf(subsystem) {
  return SUBSYSTEM_NAMES[subsystem] ?? subsystem ?? "record";
}

export function outcomeOf({ action, success, error }) {
  if (action === "skipped" || /skipped/i.test(String(error ?? ""))) return "skipped";
  if (success === true) return "ok";
  return success === false ? "failed" : "unwritten";
}

export function savedLine(committed) {
  const saved = (Array.isArray(committed) ? committed : []).map((entry) => nameOf(entry?.subsystem ?? entry).toLowerCase());
  return saved.length ? `Saved before it failed: ${saved.join(", ")}` : "Not saved";
}

export function oddsLine({ quest, poi }) {
  return [rollWords("Quest", quest), rollWords("Place", poi)].filter(Boolean).join(" · ");
}

function rollWords(label, roll) {
  if (roll === null || roll === undefined) return null;
  if (typeof roll === "string") return `${label}: ${roll}`;
  const passed = roll === true || roll.passed === true;
  if (passed) return `${label}: the dice allow it`;
  return roll.eligible === false ? `${label}: not yet` : `${label}: not this time`;
}

export function figuresLine({ timing = {}, usage = {} }) {
  const first = timing?.time_to_first_token_ms;
  const total = timing?.total_duration_ms;
  const tokens = timing?.total_tokens ?? usage?.total_tokens;
  return [
    number(first) ? `first word after ${duration(first)}` : null,
    number(tokens) ? `${tokens} tokens` : null,
    number(total) ? `${duration(total)} in all` : null,
    number(usage?.cost_micros) ? money(usage.cost_micros) : null,
    usage?.model,
  ].filter(Boolean).join(" · ");
}

function number(value) {
  return typeof value === "number" && Number.isFinite(value);
}

function duration(milliseconds) {
  return milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
