/** The rules of a table, which its owner may change. */

import { callTable } from "./calling.js";
import { byId } from "./dom.js";
import { page } from "./page.js";
import { announce } from "./speech.js";

const NUMBERS = ["round_seconds", "approval_seconds", "token_budget"];
const WORDS = ["mode", "commit"];
const LISTS = ["lines", "veils"];
const MICROS = 1e6;

/** What the form was filled with: only what differs from it is sent, since others may change rules meanwhile. */
let filled = {};

export function setUpRules() {
  byId("rules").addEventListener("toggle", () => byId("rules").open && onOpen(page.table));
  byId("rules-form").addEventListener("submit", onSave);
}

export function drawRules({ you }) {
  byId("rules").hidden = !you?.owner;
  if (!you?.owner) byId("rules").open = false;
}

async function onOpen(table) {
  await table.refresh().catch(() => {});
  if (page.table === table) fillFrom(table.session);
}

function fillFrom(session) {
  const fields = byId("rules-form").elements;
  for (const name of [...NUMBERS, ...WORDS]) fields[name].value = session[name];
  for (const name of LISTS) fields[name].value = session[name].join("\n");
  fields.dollars.value = session.cost_budget_micros / MICROS;
  filled = written();
}

/** The form as the API takes it. */
function written() {
  const fields = byId("rules-form").elements;
  const linesOf = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);
  return {
    ...Object.fromEntries(NUMBERS.map((name) => [name, Number(fields[name].value)])),
    ...Object.fromEntries(WORDS.map((name) => [name, fields[name].value])),
    ...Object.fromEntries(LISTS.map((name) => [name, linesOf(fields[name].value)])),
    cost_budget_micros: Math.round(Number(fields.dollars.value) * MICROS),
  };
}

async function onSave(event) {
  event.preventDefault();
  const changes = Object.entries(written()).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(filled[name]));
  if (!(await callTable("", Object.fromEntries(changes), "PUT"))) return;
  byId("rules").open = false;
  announce("The rules are saved.");
}
