/** Invitations to a table: links that give a seat, made and revoked. */

import { getJSON } from "./api.js";
import { button, callTable } from "./calling.js";
import { byId, el, fill } from "./dom.js";
import { clearNotice, notice, page } from "./page.js";
import { addressOf } from "./route.js";

export function setUpInvitations() {
  byId("invitations").addEventListener("click", ({ target }) => target.dataset.role && invite(target.dataset.role));
  byId("invitations").addEventListener("toggle", () => byId("invitations").open && list());
}

export function drawInvitations({ moderates, you }) {
  byId("invitations").hidden = !moderates;
  byId("invite-dm").hidden = !you?.owner;
  if (!moderates) fill(byId("invite"));
}

/** An invitation is shown once, so each press makes another one. */
async function invite(role) {
  const { table } = page;
  clearNotice("table-notice");
  try {
    const { token } = await (await table.call("POST", "/invitations", { role })).json();
    const link = el("input", { id: "invite-link", readonly: true, value: `${location.origin}/${addressOf("tables", String(table.id), token)}` });
    fill(byId("invite"), el("label", { for: "invite-link" }, role === "dm" ? "Send this link to the dungeon master" : "Send this link"), link);
    link.select();
    await list();
  } catch (failure) {
    notice("table-notice", failure);
  }
}

async function list() {
  const { table } = page;
  const { invitations } = await getJSON(`/api/sessions/${table.id}/invitations`).catch(() => ({ invitations: [] }));
  if (page.table === table) fill(byId("invitation-list"), invitations.filter(isGood).map(entry));
}

function isGood({ revoked, expires_at: until }) {
  return !revoked && !(until && new Date(until) < new Date());
}

function entry({ id, role, created_at: at }) {
  const words = `${role === "dm" ? "Dungeon master" : "Player"}, ${new Date(at).toLocaleString([], { dateStyle: "short", timeStyle: "short" })}`;
  return el("li", { class: "member here" }, el("span", {}, words), button("Revoke", `Revoke the invitation: ${words}`, () => revoke(id)));
}

async function revoke(id) {
  if (!(await callTable(`/invitations/${encodeURIComponent(id)}`, undefined, "DELETE"))) return;
  fill(byId("invite"));
  await list();
}
