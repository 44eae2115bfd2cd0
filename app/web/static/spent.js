/** What turns have cost, where that is known: tokens, and money for a model with a price. */

import { getJSON } from "./api.js";
import { byId, el, fill } from "./dom.js";
import { page } from "./page.js";
import { guestFor } from "./seats.js";

const NEARLY = 0.8;

let asked = 0;

/** Reads and shows it again: of this player today and on the days before, and of the table. It is a courtesy, so a failure shows nothing. */
export async function showSpent() {
  const { table } = page;
  const mine = (asked += 1);
  const path = table && `/api/sessions/${table.id}/tokens`;
  const [usage, used] = await Promise.all([quietly("/usage", guestFor(path)), path && quietly(path)]);
  if (mine !== asked) return; // asked again meanwhile
  const of = [usage && ["Today", ofUser(usage)], used && ["This table", ofTable(used)]].filter(Boolean);
  const words = of.map(([whose, shares]) => [whose, shares.map(shareWords).filter(Boolean).join(", ")]);
  fill(byId("spent"), words.filter(([, said]) => said).map(([whose, said]) => `${whose}: ${said}.`).join(" "));
  byId("spent").classList.toggle("nearly", of.some(([, shares]) => shares.some(isNearlyUsed)));
  drawDays(usage?.days ?? []);
}

/** Millionths of a dollar in words; a turn mostly costs less than a cent. */
export function money(micros) {
  const dollars = micros / 1e6;
  return `$${dollars.toFixed(dollars !== 0 && dollars < 0.1 ? 4 : 2)}`;
}

function quietly(path, guest = null) {
  return getJSON(path, { headers: guest ? { "X-User-Id": guest } : {} }).catch(() => null);
}

function ofUser(usage) {
  return [
    { used: usage.tokens_used, limit: usage.tokens_limit, shown: tokens },
    { used: usage.cost_micros, limit: usage.cost_limit_micros, shown: money },
  ];
}

function ofTable(used) {
  return [
    { used: used.used, limit: used.limit, shown: tokens },
    { used: used.cost_micros, limit: used.cost_limit_micros, shown: money },
  ];
}

/** Tokens without a limit concern nobody. */
function shareWords({ used, limit, shown }) {
  if (limit) return `${shown === money ? money(used) : used.toLocaleString("en")} of ${shown(limit)}`;
  return shown === money && used ? money(used) : "";
}

function tokens(number) {
  return `${number.toLocaleString("en")} tokens`;
}

function isNearlyUsed({ used, limit }) {
  return Boolean(limit) && used >= NEARLY * limit;
}

function drawDays(days) {
  const priced = days.some((day) => day.cost_micros);
  const head = ["Day", "Tokens", priced && "Cost"].map((name) => name && el("th", { scope: "col" }, name));
  byId("usage").hidden = days.length === 0;
  fill(byId("usage-days"), el("caption", { class: "sr-only" }, "Used by day"), el("thead", {}, el("tr", {}, head)), el("tbody", {}, days.map((day) => dayRow(day, priced))));
}

function dayRow({ date, tokens_used: used, cost_micros: micros }, priced) {
  return el("tr", {}, el("th", { scope: "row" }, date), el("td", {}, used.toLocaleString("en")), priced && el("td", {}, money(micros)));
}
