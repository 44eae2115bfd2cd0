/** Narrative text as paragraphs, while it is written. */

import { el } from "./dom.js";

const BREAK = /\n[^\S\n]*\n\s*/;

export class Prose {
  #text = "";
  #last = null;

  constructor(text = "", attributes = {}) {
    this.node = el("div", { class: "narrative", ...attributes });
    if (text) this.append(text);
  }

  get text() {
    return this.#text;
  }

  /** Appends to the last paragraph; what follows an empty line begins another one. */
  append(text) {
    this.#text += text;
    // White space at the end may turn out to be a break.
    const whole = (this.#last?.pending ?? "") + text;
    const end = whole.search(/\s*$/);
    const parts = whole.slice(0, end).split(BREAK);
    parts.forEach((part, index) => this.#add(part, index > 0));
    if (this.#last) this.#last.pending = whole.slice(end);
  }

  set(text) {
    this.node.replaceChildren();
    this.#text = "";
    this.#last = null;
    if (text) this.append(text);
  }

  #add(part, anew) {
    if (part === "" && !anew) return;
    if (anew || !this.#last) {
      this.#last = { text: document.createTextNode(""), pending: "" };
      this.node.append(el("p", {}, this.#last.text));
      part = part.trimStart();
    }
    this.#last.text.appendData(part);
  }
}
