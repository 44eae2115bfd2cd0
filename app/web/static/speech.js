/** What screen readers hear: whole sentences, each once, as soon as it is whole. */

import { byId, el } from "./dom.js";

const SENTENCE = /[^.!?…。！？\n]*(?:[.!?…]+["”’»)\]]*(?=\s)|[。！？]+[」』”]*|\n)/g;
const KEPT = 40;

/** Says one thing, such as what became of a turn. */
export function announce(text) {
  if (!text.trim()) return;
  const region = byId("announcer");
  region.append(el("p", {}, text.trim()));
  while (region.childElementCount > KEPT) region.firstChild.remove();
}

/** Collects a text that comes in pieces, and says its sentences. */
export class Speaker {
  #rest = "";

  feed(text) {
    this.#rest += text;
    let end = 0;
    for (const match of this.#rest.matchAll(SENTENCE)) {
      announce(match[0]);
      end = match.index + match[0].length;
    }
    this.#rest = this.#rest.slice(end);
  }

  /** Says what is left, at the end of the text. */
  flush() {
    announce(this.#rest);
    this.#rest = "";
  }

  /** What was not said yet is not wanted any more. */
  drop() {
    this.#rest = "";
  }
}
