/** The panel of a table: who is there, the round that is collected, and what members may do beside acting. */

import { button, callTable } from "./calling.js";
import { byId, el, fill } from "./dom.js";
import { drawInvitations, setUpInvitations } from "./invitations.js";
import { clearNotice, notice, page, setCharacter } from "./page.js";
import { drawRemoved, listRemoved, setUpRemoved } from "./removed.js";
import { goTo } from "./route.js";
import { drawRules, setUpRules } from "./rules.js";
import { seats } from "./seats.js";

const FOLDS = ["x-card", "invitations", "removed", "rules"];

/** Whom the form is for that is open. */
let whispered = null;
/** What the list shows: it is drawn again only when that changes, so that no button loses the focus. */
let listed = "";

export function setUpMembers() {
  byId("whisper").addEventListener("submit", onWhisper);
  byId("whisper-close").addEventListener("click", closeWhisper);
  byId("x-card-form").addEventListener("submit", onXCard);
  byId("pause").addEventListener("click", () => callTable(page.table.session.paused ? "/resume" : "/pause"));
  byId("away").addEventListener("click", () => callTable("/away", { away: !isAway(page.table) }));
  byId("round-close").addEventListener("click", () => callTable("/round/close"));
  byId("leave-table").addEventListener("click", onLeave);
  setUpInvitations();
  setUpRemoved();
  setUpRules();
}

/** Forgets what was begun at another table. */
export function clearMembers() {
  closeWhisper();
  clearNotice("table-notice");
  for (const id of ["members", "table-state", "invite", "invitation-list", "removed-list"]) fill(byId(id));
  for (const id of FOLDS) byId(id).open = false;
  listed = "";
}

export function drawMembers(table) {
  const { session, members, round, you, moderates } = table;
  drawList(table, members, moderates);
  fill(byId("table-state"), [stateOf(session), roundOf(round)].filter(Boolean).join(" "));
  fill(byId("pause"), session.paused ? "Resume" : "Pause");
  fill(byId("away"), isAway(table) ? "I am back" : "I am away");
  byId("pause").hidden = !moderates;
  byId("away").hidden = !round || you?.role !== "player";
  byId("round-close").hidden = !round || !moderates;
  byId("leave-table").hidden = !you || you.owner;
  drawInvitations(table);
  drawRemoved(table);
  drawRules(table);
}

function drawList({ id }, members, moderates) {
  const shown = JSON.stringify([id, moderates, members]);
  if (shown === listed) return;
  listed = shown;
  fill(byId("members"), members.map((member) => memberLine(member, moderates && !member.you)));
  if (whispered && !members.some((member) => member.user_id === whispered)) closeWhisper();
}

function memberLine({ user_id: id, player_name: name, role, present, owner, you }, mayActOn) {
  const words = [you ? "you" : null, role === "player" ? null : "dungeon master", present ? "here" : "away"].filter(Boolean).join(", ");
  const buttons = mayActOn && el("span", { class: "row" }, button("Whisper", `Whisper to ${name}`, () => openWhisper(id, name)), !owner && button("Remove", `Remove ${name}`, () => remove(id, name)));
  return el("li", { class: present ? "member here" : "member" }, el("span", {}, name), el("span", { class: "quiet" }, words), buttons);
}

function stateOf({ is_active: active, paused }) {
  if (!active) return "The session is over.";
  return paused ? "Paused: nobody can act." : "";
}

function roundOf(round) {
  if (!round) return "";
  const acted = round.acted.length ? `${round.acted.join(", ")} acted.` : "";
  const until = round.until ? `, until ${new Date(round.until).toLocaleTimeString([], { timeStyle: "short" })}` : "";
  const waiting = round.waiting.length ? `Waiting for ${round.waiting.join(", ")}${until}.` : "";
  const failed = round.failed ? `Its turn has failed: it is played when somebody acts, or when it is forced on${until}.` : "";
  return [`Round ${round.round}.`, acted, round.closed ? "Its turn is about to begin." : failed || waiting].filter(Boolean).join(" ");
}

function isAway({ round, you }) {
  return Boolean(you && round?.away.includes(you.player_name));
}

function openWhisper(id, name) {
  whispered = id;
  fill(byId("whisper-to"), name);
  byId("whisper").hidden = false;
  byId("whisper-words").focus();
}

function closeWhisper() {
  whispered = null;
  byId("whisper").hidden = true;
}

async function onWhisper(event) {
  event.preventDefault();
  const content = byId("whisper-words").value.trim();
  if (!content || !(await callTable("/whisper", { user_id: whispered, content }))) return;
  byId("whisper-words").value = "";
  closeWhisper();
}

async function onXCard(event) {
  event.preventDefault();
  const topic = byId("x-topic").value.trim();
  if (!(await callTable("/x_card", { silent: byId("x-silent").checked, ...(topic && { topic }) }))) return;
  byId("x-topic").value = "";
  byId("x-card").open = false;
}

async function remove(id, name) {
  const words = `Remove ${name} from the table? They take no seat again until they are readmitted.`;
  if (confirm(words) && (await callTable(`/members/${encodeURIComponent(id)}`, undefined, "DELETE"))) await listRemoved();
}

async function onLeave() {
  const { table } = page;
  if (!confirm("Leave the table? You need an invitation to come back.")) return;
  try {
    await table.call("POST", "/leave");
  } catch (failure) {
    return notice("table-notice", failure);
  }
  seats.drop(table.id);
  setCharacter(null);
  goTo("#/");
}
