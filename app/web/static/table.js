/** A shared table on the page: its messages, its turns, its players and its rules. */

import { closeApproval, openApproval } from "./approval.js";
import { Problem, getJSON, newKey, request } from "./api.js";
import { drawComposer } from "./composer.js";
import { showRoll } from "./dice.js";
import { byId, el } from "./dom.js";
import { drawMembers } from "./members.js";
import { showOptions } from "./options.js";
import { changed, keepingBottom, notice, page, toBottom } from "./page.js";
import { Prose } from "./prose.js";
import { showScene } from "./scene.js";
import { seats } from "./seats.js";
import { Speaker, announce } from "./speech.js";
import { showSpent } from "./spent.js";
import { TurnCard } from "./story.js";

const TERMINAL = new Set(["complete", "error", "cancelled"]);
const UNNUMBERED = new Set(["presence", "room", "ping", "gap"]);

export class TableView {
  #cards = new Map();
  /** A request whose answer the stream gives sooner. */
  #asked = null;
  #live = false;
  #stale = false;
  #reading = null;
  lastId = "";
  /** As the service gives them; `round` is null where players act one after another. */
  session = null;
  members = [];
  round = null;

  constructor({ id, name }) {
    Object.assign(this, { id, name, me: seats.find(id)?.player });
  }

  /** The member who looks at the page; null for an administrator without a seat. */
  get you() {
    return this.members.find((member) => member.you) ?? null;
  }

  get moderates() {
    return Boolean(this.you?.owner || this.you?.role === "dm");
  }

  async open() {
    await this.refresh();
    changed();
  }

  /** A call of the API below the table. */
  call(method, what, json = undefined) {
    return request(`/api/sessions/${this.id}${what}`, { method, ...(json && { json }) });
  }

  /** Reads again who is there and what is agreed. What is asked for while it is read is read once more. */
  refresh() {
    this.#stale = true;
    this.#reading ??= this.#readAll().finally(() => (this.#reading = null));
    return this.#reading;
  }

  async #readAll() {
    while (this.#stale) {
      this.#stale = false;
      const place = `/api/sessions/${this.id}`;
      const [session, { members }] = await Promise.all([getJSON(place), getJSON(`${place}/members`)]);
      const round = session.mode === "rounds" ? await getJSON(`${place}/round`) : null;
      Object.assign(this, { session, members, round });
      this.me = this.you?.player_name ?? this.me;
      if (page.table === this) drawMembers(this);
    }
  }

  #refreshSoon() {
    if (this.#live) this.refresh().catch(() => {});
  }

  /** Draws an event of the table's stream. */
  take({ id, data }) {
    const event = JSON.parse(data);
    if (event.type === "gap") this.lastId = `${id.replace(/:\d+$/, "")}:${event.to}`;
    if (event.type === "presence" || event.type === "room") this.#refreshSoon();
    if (event.phase === "live") return this.#begin();
    if (UNNUMBERED.has(event.type)) return;
    this.lastId = id;
    keepingBottom(() => this.#draw(event, id.split(":")[1]));
  }

  #draw(event, turnId) {
    if (event.type === "message" || event.type === "dice") {
      this.#refreshSoon(); // somebody may have acted, come, gone or changed the rules
      return event.type === "dice" ? this.#dice(event) : this.#line(event);
    }
    if (event.type === "player_options") return showOptions(event.player_options ?? []);
    if (event.type === "scene") return showScene(event);
    this.#turn(event, turnId);
  }

  #turn(event, turnId) {
    const card = this.#cards.get(turnId) ?? this.#newCard(turnId);
    card.apply({ ...event, user_action: null }); // its line stands above
    if (TERMINAL.has(event.type)) this.#end(event);
    else if (event.type === "metadata") this.#phase(event, turnId);
  }

  #phase(event, turnId) {
    drawComposer();
    if (event.phase === "approval") openApproval(this, turnId);
    else closeApproval();
    if (event.phase === "start" && this.round) this.#refreshSoon();
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
    closeApproval();
    drawComposer();
    if (!this.#live) return;
    showSpent();
    if (event.type !== "complete") announce(event.message ?? "The turn was not finished.");
  }

  #line({ sender_name: name, content, message_type: type, roll, private: whispered }) {
    const kind = roll ? "player" : type; // a roll that its player has reported
    const said = kind === "dm" ? new Prose(content).node : el("span", { class: "said" }, content);
    const words = kind === "system" ? said : [el("strong", {}, name), " ", said];
    const mine = kind === "player" && name === this.me ? "mine" : "";
    byId("story").append(el("div", { class: `line line-${kind} ${mine}` }, words, whispered ? el("span", { class: "quiet" }, " (whispered)") : null));
    if (this.#live && name !== this.me) announce(whispered ? `${name} whispers: ${content}` : `${name}: ${content}`);
  }

  #dice({ sender_name: name, content, notation, dice = [], total }) {
    const faces = dice.map(({ value, sides, kept }) => el("span", { class: kept ? "face" : "face lost", title: `d${sides}` }, String(value)));
    byId("story").append(el("div", { class: "line line-dice" }, el("strong", {}, name), " ", el("span", { class: "said" }, content), " ", faces));
    if (this.#live) showRoll(notation, total, name);
  }

  /** The past has been drawn. */
  #begin() {
    this.#live = true;
    this.#refreshSoon();
    toBottom();
    if (this.#cards.size || byId("story").querySelector(".offer, .line-dm")) return;
    const start = () => this.#post("start");
    byId("story").append(el("p", { class: "offer" }, "The story has not begun. ", el("button", { type: "button", class: "plain", onclick: start }, "Begin the story")));
  }

  act(words) {
    byId("action").value = "";
    return this.#post(`action?${new URLSearchParams({ action: words })}`, null, () => (byId("action").value ||= words));
  }

  roll(sides) {
    return this.#post("roll", { dice: `1d${sides}` });
  }

  /** To everybody, beside the story; a dungeon master says it as one. */
  async say(words) {
    const dm = this.you?.role === "dm";
    try {
      await this.call("POST", "/messages", { sender_name: dm ? this.session.dm_name : this.me, content: words, message_type: dm ? "dm" : "player" });
    } catch (failure) {
      byId("action").value ||= words;
      notice("turn-notice", failure);
    }
  }

  /** The answer comes when the turn has ended; by then the stream has shown it, so it is not waited for. */
  async #post(what, json = undefined, refused = () => {}) {
    const asked = (this.#asked = new AbortController());
    showOptions([]);
    try {
      const headers = { "Idempotency-Key": newKey() };
      await request(`/api/sessions/${this.id}/${what}`, { method: "POST", headers, ...(json && { json }), signal: asked.signal });
    } catch (failure) {
      if (asked.signal.aborted) return;
      refused();
      if (failure instanceof Problem && failure.type === "turn_cancelled") return;
      notice("turn-notice", failure);
    }
  }
}
