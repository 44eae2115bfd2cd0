/** What today's turns have cost this player, where that is known: tokens, and money for a model with a price. */

import { getJSON } from "./api.js";
import { byId, fill } from "./dom.js";

const NEARLY = 0.8;

/** Reads and shows it again. It is a courtesy, so a failure shows nothing. */
export async function showSpent() {
  const usage = await getJSON("/usage").catch(() => null);
  const parts = usage ? [tokens(usage), usage.cost_micros || usage.cost_limit_micros ? cost(usage) : null].filter(Boolean) : [];
  fill(byId("spent"), parts.length ? `Today: ${parts.join(", ")}.` : null);
  byId("spent").classList.toggle("nearly", Boolean(usage) && isNearlyUsed(usage));
}

/** Millionths of a dollar in words; a turn mostly costs less than a cent. */
export function money(micros) {
  const dollars = micros / 1e6;
  return `$${dollars.toFixed(dollars !== 0 && dollars < 0.1 ? 4 : 2)}`;
}

function tokens({ tokens_used: used, tokens_limit: limit }) {
  if (!limit) return null;
  return `${used.toLocaleString("en")} of ${limit.toLocaleString("en")} tokens`;
}

function cost({ cost_micros: used, cost_limit_micros: limit }) {
  return limit ? `${money(used)} of ${money(limit)}` : money(used);
}

function isNearlyUsed(usage) {
  const shares = [[usage.tokens_used, usage.tokens_limit], [usage.cost_micros, usage.cost_limit_micros]];
  return shares.some(([used, limit]) => limit && used >= NEARLY * limit);
}
