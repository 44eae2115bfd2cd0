/** The members who were removed from a table: who they are, and letting them take a seat again. */

import { getJSON } from "./api.js";
import { button, callTable } from "./calling.js";
import { byId, el, fill } from "./dom.js";
import { page } from "./page.js";

export function setUpRemoved() {
  byId("removed").addEventListener("toggle", listRemoved);
}

export function drawRemoved({ moderates }) {
  byId("removed").hidden = !moderates;
}

/** Reads the list where it is open. */
export async function listRemoved() {
  const { table } = page;
  if (!byId("removed").open) return;
  const { removed } = await getJSON(`/api/sessions/${table.id}/removed`).catch(() => ({ removed: [] }));
  if (page.table !== table) return;
  fill(byId("removed-list"), removed.map(entry));
  byId("nobody-removed").hidden = removed.length > 0;
}

function entry({ user_id: id, player_name: name }) {
  return el("li", { class: "member here" }, el("span", {}, name), button("Readmit", `Readmit ${name}`, () => readmit(id)));
}

async function readmit(id) {
  if (await callTable(`/removed/${encodeURIComponent(id)}`, undefined, "DELETE")) await listRemoved();
}
