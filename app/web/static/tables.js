/** Tables: the list, opening one, taking a seat by a link. */

import { getJSON, newKey, request, token } from "./api.js";
import { closeApproval, setUpApproval } from "./approval.js";
import { byId, el, fill } from "./dom.js";
import { clearMembers, setUpMembers } from "./members.js";
import { clearHistory } from "./past.js";
import { clearNotice, entitle, notice, page, setCharacter, show, showPanels } from "./page.js";
import { addressOf, goTo, replaceAddress } from "./route.js";
import { seats } from "./seats.js";
import { TableView } from "./table.js";
import { leaveTurn } from "./turns.js";

/** The table to join and its invitation, or null to open one. */
let joining = null;

export function setUpTables() {
  byId("seating").addEventListener("submit", onSeat);
  setUpMembers();
  setUpApproval();
}

export async function drawTables() {
  const own = await getJSON("/api/sessions").catch(() => []);
  const guests = Object.entries(seats.all()).filter(([id, seat]) => seat.guest && !own.some((table) => String(table.id) === id));
  const tables = [...own, ...guests.map(([id, seat]) => ({ id, name: seat.name }))];
  byId("tables-head").hidden = tables.length === 0;
  fill(byId("table-list"), tables.map(tableEntry));
}

function tableEntry({ id, name }) {
  const current = String(page.table?.id) === String(id) ? "page" : null;
  return el("li", {}, el("a", { class: "cast-entry", href: addressOf("tables", String(id)), "aria-current": current }, el("span", { class: "cast-name" }, name)));
}

/** The form to open a table, or, with a table, to join it. */
export async function openSeating(table = null) {
  joining = table;
  clearNotice("seating-notice");
  fill(byId("seating-title"), table ? "Take a seat" : "Play together");
  fill(byId("seating-words"), table ? "You are invited to a table. Everybody there reads the same story as it is written." : "Open a table, and send others its link.");
  fill(byId("take-seat"), table ? "Join" : "Open the table");
  byId("table-name-field").hidden = Boolean(table);
  byId("table-name").required = !table;
  await fillCharacters(Boolean(table) && !token.get() && !seats.find(table.id));
  show("seating");
  entitle("");
  byId(table ? "player-name" : "table-name").focus();
}

/** A guest has no characters here. */
async function fillCharacters(guest) {
  const { characters = [] } = guest ? {} : await getJSON("/characters").catch(() => ({}));
  const choices = characters.map(({ character_id: id, name }) => el("option", { value: id }, name));
  byId("table-character-field").hidden = choices.length === 0;
  fill(byId("table-character"), el("option", { value: "" }, "None"), choices);
}

async function onSeat(event) {
  event.preventDefault();
  const character = byId("table-character").value;
  const player = { player_name: byId("player-name").value.trim(), ...(character && { character_id: character }) };
  try {
    const id = joining ? await join(joining, player) : await create(byId("table-name").value.trim(), player);
    goTo(addressOf("tables", String(id)));
  } catch (failure) {
    notice("seating-notice", failure);
  }
}

async function create(name, player) {
  const table = await (await request("/api/sessions", { method: "POST", json: { name, ...player } })).json();
  seats.keep(table.id, { name, player: player.player_name, guest: null });
  return table.id;
}

async function join({ id, invitation }, player) {
  const before = seats.find(id);
  seats.keep(id, before ?? { name: "", guest: token.get() ? null : `guest-${newKey()}` });
  try {
    const json = { ...player, ...(invitation && { invitation }) };
    const table = await (await request(`/api/sessions/${id}/join`, { method: "POST", json })).json();
    seats.keep(id, { ...seats.find(id), name: table.name, player: player.player_name });
  } catch (failure) {
    if (!before) seats.drop(id);
    throw failure;
  }
  return id;
}

/** Shows the table, or the form for a seat where this browser has none. */
export async function openTable(id, invitation) {
  if (invitation && !seats.find(id)) return openSeating({ id, invitation });
  if (invitation) replaceAddress(addressOf("tables", id));
  if (String(page.table?.id) === id) {
    entitle(byId("tale-title").textContent);
    return show("tale");
  }
  leaveTurn();
  closeApproval();
  setCharacter(null);
  clearNotice("turn-notice");
  clearHistory();
  try {
    const table = await getJSON(`/api/sessions/${id}`);
    entitle(table.name);
    show("tale");
    showPanels("members-panel", "dice-panel");
    clearMembers();
    page.table = new TableView(table);
    await page.table.open();
    drawTables();
  } catch (failure) {
    if (failure.status === 403 || failure.status === 404) return openSeating({ id, invitation });
    notice("page-notice", failure, { label: "Try again", onclick: () => openTable(id, invitation) });
  }
}
