/** A turn on the page: what the player did, what was told, and what became of it. */

import { el, fill } from "./dom.js";

const STEPS = ["context", "policy", "narrative", "validation", "writes"];
const STEP_NAMES = { context: "Context", policy: "Policy", narrative: "Narrative", validation: "Validation", writes: "Writes" };
const SUBSYSTEMS = ["quest", "combat", "poi", "narrative"];
const SUBSYSTEM_NAMES = { quest: "Quest", combat: "Fight", poi: "Place", narrative: "Story" };
const CHANGES = {
  quest: { offer: "a new quest", start: "a new quest", offered: "a new quest", advance: "the quest moves on", advanced: "the quest moves on", complete: "the quest is done", completed: "the quest is done", abandon: "the quest is given up", abandoned: "the quest is given up" },
  combat: { start: "a fight begins", started: "a fight begins", continue: "the fight goes on", continued: "the fight goes on", end: "the fight is over", ended: "the fight is over" },
  poi: { create: "a new place", reference: "back at a known place" },
  narrative: { create: "the story" },
};
const OUTCOME_WORDS = { planned: "Now", ok: "Saved", failed: "Not saved", skipped: "Left as it was", unwritten: "Not saved" };
const NO_ACTION = new Set(["none", "", null, undefined]);

/** A turn as `GET /characters/{id}/turns` shows it. */
export function pastTurn(turn) {
  return { action: turn.user_action ?? "", narrative: turn.narrative ?? "" };
}

export function pastTurnCard({ action, narrative }) {
  return el("article", { class: "turn" }, actionLine(action), el("div", { class: "narrative" }, narrative));
}

/** A turn that is being told. `apply(event)` draws one event; the card holds no other state of the turn. */
export class TurnCard {
  #text = document.createTextNode("");
  #reached = -1;
  #receipts = new Map();
  #steps = new Map(STEPS.map((step) => [step, el("li", { class: "step" }, STEP_NAMES[step])]));
  /** The turn is told, and not written before somebody says so. */
  awaiting = false;
  #odds = el("p", { class: "odds quiet" });
  #state = el("p", { class: "state quiet" }, "Sending…");
  #list = el("ul", { class: "receipts", "aria-label": "What was recorded" });
  #foot = el("div", { class: "foot" });
  #action = actionLine("");
  #narrativeNode = el("div", { class: "narrative", "aria-busy": "true" }, this.#text);

  constructor(action) {
    this.#act(action);
    this.node = el(
      "article",
      { class: "turn live" },
      this.#action,
      this.#narrativeNode,
      el("ol", { class: "steps", "aria-label": "Progress of this turn" }, [...this.#steps.values()]),
      this.#odds,
      this.#state,
      this.#list,
      this.#foot,
    );
  }

  get narrative() {
    return this.#text.data;
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
    if (connected) this.#say(this.#reached < 0 ? "Waiting for the first word…" : "");
    else this.#say(attempt > 1 ? `Connection lost. Reconnecting… (attempt ${attempt})` : "Connection lost. Reconnecting…");
  }

  /** For a turn whose events are no longer kept: only its outcome is left to show. */
  showStored(turn) {
    if (turn.narrative) this.#text.data = turn.narrative;
    if (turn.status === "complete") this.#complete(turn);
    else if (turn.status === "cancelled") this.#cancelled(turn);
    else this.#failed(turn.error ?? turn);
  }

  showAnswer(narrative) {
    this.#text.data = narrative;
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
    if (event.phase === "start" && event.user_action && this.#action.hidden) this.#act(event.user_action);
    if (event.phase === "queued") return this.#say(event.position ? `Waiting in line, place ${event.position}.` : "Waiting in line.");
    if (event.phase === "settling") return this.#say(`Making sure the ${nameOf(event.subsystem).toLowerCase()} was recorded…`);
    this.awaiting = event.phase === "awaiting_commit";
    if (event.phase === "retelling") return this.#again(event);
    if (this.awaiting) return this.#say("Nothing of this counts yet. Keep it, or have it told again.");
    if (event.phase === "policy") fill(this.#odds, oddsLine(event));
    if (STEPS.includes(event.phase)) this.#reach(event.phase);
    this.#say(this.#text.length ? "" : "Waiting for the first word…");
  }

  /** What was told so far does not count any more. */
  #again(event) {
    this.#text.data = "";
    this.#reached = STEPS.indexOf("policy");
    this.#reach("narrative");
    for (const badge of this.#receipts.values()) badge.remove();
    this.#receipts.clear();
    this.#say(event.error_type ? "That could not be told. Here is what was told before." : "Telling it again…");
  }

  #token(event) {
    if (event.field && event.field !== "narrative") return;
    if (!this.#text.length) this.#say("");
    this.#reach("narrative");
    this.#text.appendData(event.content ?? "");
  }

  #preview(intents) {
    for (const subsystem of SUBSYSTEMS) {
      const action = intents[`${subsystem}_intent`]?.action;
      if (!NO_ACTION.has(action)) this.#badge(subsystem, action, "planned");
    }
  }

  #receipt(event) {
    this.#reach("writes");
    this.#say("");
    const kind = outcomeOf(event);
    if (NO_ACTION.has(event.action) && kind !== "failed") return;
    this.#badge(event.subsystem, event.action, kind, event.error);
  }

  #badge(subsystem, action, kind, error) {
    const wasThere = this.#receipts.get(subsystem);
    const what = CHANGES[subsystem]?.[action] ?? nameOf(subsystem).toLowerCase();
    const badge = el("li", { class: `receipt receipt-${kind}`, title: error ?? null }, `${OUTCOME_WORDS[kind]}: ${what}`);
    if (wasThere) wasThere.replaceWith(badge);
    else this.#list.append(badge);
    this.#receipts.set(subsystem, badge);
  }

  #complete(event) {
    this.#close("done");
    this.#fillReceipts(event.subsystem_summary ?? {});
    for (const badge of this.#list.querySelectorAll(".receipt-planned")) badge.remove();
    if (event.subsystem_summary?.narrative_persisted === false && !event.subsystem_summary.dry_run)
      this.#verdict(`This telling could not be saved. ${event.subsystem_summary.narrative_error ?? ""}`.trim());
    const figures = figuresLine(event);
    if (figures) this.#foot.append(el("p", { class: "figures quiet" }, figures));
  }

  /** Receipts that came as events stay; the summary supplies the others. */
  #fillReceipts(summary) {
    for (const subsystem of ["quest", "combat", "poi"]) {
      const change = summary[`${subsystem}_change`];
      const shown = this.#receipts.get(subsystem);
      if (change && !NO_ACTION.has(change.action) && (!shown || shown.classList.contains("receipt-planned")))
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
    if (text && text.length > this.#text.length) this.#text.data = text;
    this.node.classList.add("unsaved");
  }

  #mark(text) {
    this.#narrativeNode.after(el("p", { class: "mark" }, text));
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
    if (ending === "done") this.#reached = STEPS.length - 1;
    this.#drawSteps(ending);
    this.#narrativeNode.removeAttribute("aria-busy");
    this.node.classList.remove("live", "adrift");
    this.node.classList.toggle("told", ending === "done");
  }

  #say(text) {
    fill(this.#state, text);
  }
}

function actionLine(action) {
  return el("p", { class: "action", hidden: !action }, action);
}

function nameOf(subsystem) {
  return SUBSYSTEM_NAMES[subsystem] ?? subsystem ?? "record";
}

function outcomeOf({ action, success, error }) {
  if (action === "skipped" || /skipped/i.test(String(error ?? ""))) return "skipped";
  if (success === true) return "ok";
  return success === false ? "failed" : "unwritten";
}

function savedLine(committed) {
  const saved = (Array.isArray(committed) ? committed : []).map((entry) => nameOf(entry?.subsystem ?? entry).toLowerCase());
  return saved.length ? `Saved before it failed: ${saved.join(", ")}` : "Not saved";
}

function oddsLine({ quest, poi }) {
  return [rollWords("Quest", quest), rollWords("Place", poi)].filter(Boolean).join(" · ");
}

function rollWords(label, roll) {
  if (roll === null || roll === undefined) return null;
  if (typeof roll === "string") return `${label}: ${roll}`;
  const passed = roll === true || roll.passed === true;
  if (passed) return `${label}: the dice allow it`;
  return roll.eligible === false ? `${label}: not yet` : `${label}: not this time`;
}

function figuresLine({ timing = {}, usage = {} }) {
  const first = timing?.time_to_first_token_ms;
  const total = timing?.total_duration_ms;
  const tokens = timing?.total_tokens ?? usage?.total_tokens;
  return [
    number(first) ? `first word after ${duration(first)}` : null,
    number(tokens) ? `${tokens} tokens` : null,
    number(total) ? `${duration(total)} in all` : null,
    usage?.model,
  ].filter(Boolean).join(" · ");
}

function number(value) {
  return typeof value === "number" && Number.isFinite(value);
}

function duration(milliseconds) {
  return milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
}
