/** A narration waits for whoever moderates the table: approved, edited, retold or vetoed. */

import { getJSON } from "./api.js";
import { byId, fill } from "./dom.js";
import { keepingBottom, notice } from "./page.js";
import { announce } from "./speech.js";

/** What is decided: `{table, draft}` with the narration as the model wrote it; null while nothing waits. */
let waiting = null;
/** What was asked for last: an answer for anything before it comes too late. */
let asked = null;

export function setUpApproval() {
  byId("approval").addEventListener("submit", (event) => {
    event.preventDefault();
    decide({ decision: "approve", ...edited() });
  });
  byId("veto").addEventListener("click", () => decide({ decision: "veto" }));
  byId("approval-retell").addEventListener("click", () => decide({ decision: "retell", guidance: byId("approval-guidance").value.trim() }));
}

/** Shows what waits to whoever may decide it. */
export async function openApproval(table, turnId) {
  const mine = (asked = {});
  try {
    if (!table.session) await table.refresh();
    if (!table.moderates) return;
    const draft = await getJSON(`/api/sessions/${table.id}/approval`);
    if (asked === mine && draft.turn_id === turnId) show(table, draft);
  } catch {
    // It is decided by now.
  }
}

export function closeApproval() {
  asked = waiting = null;
  byId("approval").hidden = true;
}

function show(table, draft) {
  waiting = { table, draft };
  byId("approval-narrative").value = draft.narrative;
  byId("approval-response").value = draft.player_response ?? "";
  byId("approval-guidance").value = "";
  fill(byId("approval-until"), `Approved by itself at ${new Date(draft.until).toLocaleTimeString([], { timeStyle: "medium" })}.`);
  fill(byId("approval-notes"), [draft.scene?.dm_notes, ...draft.roll_conflicts].filter(Boolean).join(" "));
  setBusy(false);
  keepingBottom(() => (byId("approval").hidden = false));
  announce("The narration waits for your approval.");
}

/** Only what was changed is sent. */
function edited() {
  const { draft } = waiting;
  const [narrative, response] = [byId("approval-narrative").value, byId("approval-response").value];
  return { ...(narrative !== draft.narrative && { narrative }), ...(response !== (draft.player_response ?? "") && { player_response: response }) };
}

async function decide(decision) {
  const { table, draft } = waiting;
  setBusy(true);
  try {
    await table.call("POST", "/approval", { turn_id: draft.turn_id, telling: draft.telling, ...decision });
  } catch (failure) {
    notice("turn-notice", failure);
    setBusy(false);
  }
}

function setBusy(busy) {
  for (const id of ["approve", "veto", "approval-retell"]) byId(id).disabled = busy;
}
