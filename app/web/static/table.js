/** A shared table on the page: its messages, its turns and its players. */

import { Problem, getJSON, newKey, request } from "./api.js";
import { drawComposer } from "./composer.js";
import { showRoll } from "./dice.js";
import { byId, el, fill } from "./dom.js";
import { showOptions } from "./options.js";
import { changed, keepingBottom, notice, page, toBottom } from "./page.js";
import { Prose } from "./prose.js";
import { seats } from "./seats.js";
import { Speaker, announce } from "./speech.js";
import { TurnCard } from "./story.js";

const TERMINAL = new Set(["complete", "error", "cancelled"]);
const UNNUMBERED = new Set(["presence", "room", "ping", "gap"]);

export class TableView {
  #cards = new Map();
  /** A request whose answer the stream gives sooner. */
  #asked = null;
  #live = false;
  lastId = "";

  constructor({ id, name }) {
    const me = seats.find(id)?.player;
    Object.assign(this, { id, name, me });
  }

  async open() {
    await this.#refreshMembers();
    changed();
  }

  /** Draws an event of the table's stream. */
  take({ id, data }) {
    const event = JSON.parse(data);
    if (event.type === "gap") this.lastId = `${id.replace(/:\d+$/, "")}:${event.to}`;
    if (event.type === "presence") this.#refreshMembers().catch(() => {});
    if (event.phase === "live") return this.#begin();
    if (UNNUMBERED.has(event.type)) return;
    this.lastId = id;
    keepingBottom(() => this.#draw(event, id.split(":")[1]));
  }

  #draw(event, turnId) {
    if (event.type === "message") return this.#line(event);
    if (event.type === "dice") return this.#dice(event);
    if (event.type === "player_options") return showOptions(event.player_options ?? []);
    this.#turn(event, turnId);
  }

  #turn(event, turnId) {
    const card = this.#cards.get(turnId) ?? this.#newCard(turnId);
    card.apply({ ...event, user_action: null }); // its line stands above
    if (TERMINAL.has(event.type)) this.#end(event);
    else if (event.type === "metadata") drawComposer();
  }

  #newCard(turnId) {
    const card = new TurnCard("", this.#live ? new Speaker() : null);
    this.#cards.set(turnId, card);
    byId("story").querySelector(":scope > .offer")?.remove();
    byId("story").append(card.node);
    page.watch = { card, turnId, action: "", controller: new AbortController(), cancelling: false };
    this.#asked?.abort();
    drawComposer();
    return card;
  }

  #end(event) {
    page.watch = null;
    drawComposer();
    if (this.#live && event.type !== "complete") announce(event.message ?? "The turn was not finished.");
  }

  #line({ sender_name: name, content, message_type: kind, private: whispered }) {
    if (kind === "system") this.#refreshMembers().catch(() => {});
    const said = kind === "dm" ? new Prose(content).node : el("span", { class: "said" }, content);
    const words = kind === "system" ? said : [el("strong", {}, name), " ", said];
    const mine = kind === "player" && name === this.me ? "mine" : "";
    byId("story").append(el("div", { class: `line line-${kind} ${mine}` }, words, whispered ? el("span", { class: "quiet" }, " (to you alone)") : null));
    if (this.#live && name !== this.me) announce(`${name}: ${content}`);
  }

  #dice({ sender_name: name, content, notation, dice = [], total }) {
    const faces = dice.map(({ value, sides, kept }) => el("span", { class: kept ? "face" : "face lost", title: `d${sides}` }, String(value)));
    byId("story").append(el("div", { class: "line line-dice" }, el("strong", {}, name), " ", el("span", { class: "said" }, content), " ", faces));
    if (this.#live) showRoll(notation, total, name);
  }

  /** The past has been drawn. */
  #begin() {
    this.#live = true;
    toBottom();
    if (this.#cards.size || byId("story").querySelector(".offer, .line-dm")) return;
    const start = () => this.#post("start");
    byId("story").append(el("p", { class: "offer" }, "Nothing has been told here yet. ", el("button", { type: "button", class: "plain", onclick: start }, "Begin the story")));
  }

  act(words) {
    byId("action").value = "";
    return this.#post(`action?${new URLSearchParams({ action: words })}`, null, () => (byId("action").value ||= words));
  }

  roll(sides) {
    return this.#post("roll", { dice: `1d${sides}` });
  }

  /** The answer comes when the turn has ended; by then the stream has shown it, so it is not waited for. */
  async #post(what, json = undefined, refused = () => {}) {
    const asked = (this.#asked = new AbortController());
    showOptions([]);
    try {
      const headers = { "Idempotency-Key": newKey() };
      const answer = await request(`/api/sessions/${this.id}/${what}`, { method: "POST", headers, ...(json && { json }), signal: asked.signal });
      if (answer.status === 202) this.#wait(await answer.json());
    } catch (failure) {
      if (asked.signal.aborted) return;
      refused();
      if (failure instanceof Problem && failure.type === "turn_cancelled") return;
      notice("turn-notice", failure);
    }
  }

  /** Where players act in rounds, the turn comes once all have. */
  #wait({ waiting = [] }) {
    if (waiting.length) keepingBottom(() => byId("story").append(el("div", { class: "line line-system" }, `Waiting for ${waiting.join(", ")}.`)));
  }

  async #refreshMembers() {
    const { members } = await getJSON(`/api/sessions/${this.id}/members`);
    if (page.table === this) fill(byId("members"), members.map(memberLine));
  }
}

function memberLine({ player_name: name, role, present }) {
  const words = [role === "player" ? null : role, present ? "here" : "away"].filter(Boolean).join(", ");
  return el("li", { class: present ? "member here" : "member" }, el("span", {}, name), el("span", { class: "quiet" }, words));
}
