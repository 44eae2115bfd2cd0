/** A turn on the page: the action, the narrative and the result. */

import { el, fill } from "./dom.js";
import { Prose } from "./prose.js";
import { SUBSYSTEMS, figuresLine, isChange, nameOf, oddsLine, outcomeOf, receipt, receiptsOf, savedLine } from "./receipts.js";

const STEPS = ["context", "policy", "narrative", "validation", "writes"];
const STEP_NAMES = { context: "Context", policy: "Policy", narrative: "Narrative", validation: "Validation", writes: "Writes" };

/** A finished turn, as `GET /characters/{id}/turns` gives it. */
export function pastTurnCard({ turn_id: turnId, user_action: action, narrative, intents }) {
  return el("article", { class: "turn", "data-turn": turnId }, actionLine(action), new Prose(narrative ?? "").node, receiptsOf(intents));
}

/** A turn that runs. `apply(event)` draws one event; the card holds no other state of the turn. */
export class TurnCard {
  #prose = new Prose("", { "aria-busy": "true" });
  #answer = new Prose();
  #reached = -1;
  #receipts = new Map();
  #steps = new Map(STEPS.map((step) => [step, el("li", { class: "step" }, STEP_NAMES[step])]));
  /** The turn is validated, and waits for a commit. */
  awaiting = false;
  #drafted = false;
  #odds = el("p", { class: "odds quiet" });
  #state = el("p", { class: "state quiet waiting" }, "Sending…");
  #list = el("ul", { class: "receipts", "aria-label": "What was recorded", hidden: true });
  #foot = el("div", { class: "foot" });
  #action = actionLine("");
  #aloud;

  /** `aloud`, a `Speaker`, gets the text as it streams. */
  constructor(action, aloud = null) {
    this.#aloud = aloud;
    this.#act(action);
    const steps = el("ol", { class: "steps", "aria-label": "Progress of this turn" }, [...this.#steps.values()]);
    const parts = [this.#action, this.#prose.node, this.#answer.node, steps, this.#odds, this.#state, this.#list, this.#foot];
    this.#answer.node.classList.add("answer");
    this.node = el("article", { class: "turn live" }, parts);
  }

  get narrative() {
    return this.#prose.text;
  }

  /** Before validation a turn can still be cancelled. */
  get cancellable() {
    return this.awaiting || this.#reached < STEPS.indexOf("validation");
  }

  apply(event) {
    switch (event.type) {
      case "metadata":
        return this.#phase(event);
      case "token":
        return this.#token(event);
      case "draft":
        return this.#draft(event);
      case "preview":
        return this.#preview(event.intents ?? {});
      case "write":
        return this.#receipt(event);
      case "complete":
        return this.#complete(event);
      case "error":
        return this.#failed(event);
      case "cancelled":
        return this.#cancelled(event);
    }
  }

  link(connected, attempt) {
    this.node.classList.toggle("adrift", !connected);
    if (connected) this.#wait(this.#reached < 0 ? "Waiting for the first word…" : "");
    else this.#say(attempt > 1 ? `Connection lost. Reconnecting… (attempt ${attempt})` : "Connection lost. Reconnecting…");
  }

  /** For a turn whose events are no longer kept: only its outcome is left to show. */
  showStored(turn) {
    if (turn.narrative) this.#prose.set(turn.narrative);
    if (turn.status === "complete") this.#complete(turn);
    else if (turn.status === "cancelled") this.#cancelled(turn);
    else this.#failed(turn.error ?? turn);
  }

  showAnswer(narrative) {
    this.#prose.set(narrative);
    this.#complete({});
  }

  offer(label, onclick) {
    this.#foot.append(el("button", { type: "button", class: "plain", onclick }, label));
  }

  #act(action) {
    fill(this.#action, action);
    this.#action.hidden = !action;
  }

  #phase(event) {
    if (event.turn_id) this.node.dataset.turn = event.turn_id;
    if (event.phase === "start" && event.user_action && this.#action.hidden) this.#act(event.user_action);
    if (event.phase === "queued") return this.#wait(event.position ? `Waiting in line, place ${event.position}.` : "Waiting in line.");
    if (event.phase === "settling") return this.#wait(`Making sure the ${nameOf(event.subsystem).toLowerCase()} was recorded…`);
    this.awaiting = event.phase === "awaiting_commit";
    if (event.phase === "retelling") return this.#again(event);
    if (event.phase === "approval") return this.#wait("The dungeon master reads it first.");
    if (this.awaiting) return this.#say("Nothing of this counts yet. Keep it, or have it retold.");
    if (event.phase === "policy") fill(this.#odds, oddsLine(event));
    if (STEPS.includes(event.phase)) this.#reach(event.phase);
    this.#wait(this.narrative ? "" : "Waiting for the first word…");
  }

  /** The text so far does not count any more. */
  #again(event) {
    this.#forget();
    this.#aloud?.drop();
    this.#reached = STEPS.indexOf("policy");
    this.#reach("narrative");
    for (const badge of this.#receipts.values()) badge.remove();
    this.#receipts.clear();
    this.#wait(event.error_type ? "The retelling failed. The earlier text follows." : "Retelling…");
  }

  /** Whoever moderates a table reads what may still be changed. */
  #draft(event) {
    this.#drafted = true;
    this.#say("");
    this.#reach("narrative");
    this.#proseOf(event).append(event.content ?? "");
  }

  #proseOf({ field }) {
    return field === "player_response" ? this.#answer : this.#prose;
  }

  #forget() {
    this.#drafted = false;
    this.#prose.set("");
    this.#answer.set("");
  }

  #token(event) {
    if (this.#drafted) this.#forget();
    const content = event.content ?? "";
    const prose = this.#proseOf(event);
    if (!this.narrative) this.#say("");
    this.#reach("narrative");
    prose.append(content);
    this.#aloud?.feed(content);
  }

  #preview(intents) {
    for (const subsystem of SUBSYSTEMS) {
      const action = intents[`${subsystem}_intent`]?.action;
      if (isChange(action)) this.#badge(subsystem, action, "planned");
    }
  }

  #receipt(event) {
    this.#reach("writes");
    this.#say("");
    const kind = outcomeOf(event);
    if (!isChange(event.action) && kind !== "failed") return;
    this.#badge(event.subsystem, event.action, kind, event.error);
  }

  #badge(subsystem, action, kind, error) {
    const wasThere = this.#receipts.get(subsystem);
    const badge = receipt(subsystem, action, kind, error ?? null);
    if (wasThere) wasThere.replaceWith(badge);
    else this.#list.append(badge);
    this.#list.hidden = false;
    this.#receipts.set(subsystem, badge);
  }

  #complete(event) {
    this.#close("done");
    this.#fillReceipts(event.subsystem_summary ?? {});
    for (const badge of this.#list.querySelectorAll(".receipt-planned")) badge.remove();
    this.#list.hidden = !this.#list.childElementCount;
    if (event.subsystem_summary?.narrative_persisted === false && !event.subsystem_summary.dry_run)
      this.#verdict(`This turn could not be saved. ${event.subsystem_summary.narrative_error ?? ""}`.trim());
    const figures = figuresLine(event);
    if (figures) this.#foot.append(el("p", { class: "figures quiet" }, figures));
  }

  /** Receipts that came as events stay; the summary supplies the others. */
  #fillReceipts(summary) {
    for (const subsystem of ["quest", "combat", "poi"]) {
      const change = summary[`${subsystem}_change`];
      const shown = this.#receipts.get(subsystem);
      if (change && isChange(change.action) && (!shown || shown.classList.contains("receipt-planned")))
        this.#badge(subsystem, change.action, outcomeOf(change), change.error);
    }
  }

  #failed(event) {
    this.#close("failed");
    this.#keepPartial(event.partial_narrative);
    this.#mark(savedLine(event.committed));
    this.#verdict(event.message ?? event.error?.message ?? "The turn failed.");
  }

  #cancelled(event) {
    this.#close("failed");
    this.#keepPartial(event.partial_narrative);
    this.#mark("Cancelled, not saved");
  }

  #keepPartial(text) {
    if (text && text.length > this.narrative.length) this.#prose.set(text);
    this.node.classList.add("unsaved");
  }

  #mark(text) {
    this.#answer.node.after(el("p", { class: "mark" }, text));
  }

  #verdict(text) {
    this.#foot.append(el("p", { class: "verdict" }, text));
  }

  #reach(step) {
    const index = STEPS.indexOf(step);
    if (index <= this.#reached) return;
    this.#reached = index;
    this.#drawSteps("active");
  }

  #drawSteps(current) {
    STEPS.forEach((step, index) => {
      const state = index < this.#reached ? "done" : index === this.#reached ? current : "waiting";
      const node = this.#steps.get(step);
      node.className = `step step-${state}`;
      if (state === "active") node.setAttribute("aria-current", "step");
      else node.removeAttribute("aria-current");
    });
  }

  #close(ending) {
    this.#say("");
    this.#aloud?.flush();
    if (ending === "done") this.#reached = STEPS.length - 1;
    this.#drawSteps(ending);
    this.#prose.node.removeAttribute("aria-busy");
    this.node.classList.remove("live", "adrift");
    this.node.classList.toggle("complete", ending === "done");
  }

  #say(text) {
    fill(this.#state, text);
    this.#state.classList.remove("waiting");
  }

  /** As `#say`, of something that goes on. */
  #wait(text) {
    this.#say(text);
    this.#state.classList.add("waiting");
  }
}

function actionLine(action) {
  return el("p", { class: "action", hidden: !action }, action ?? "");
}
