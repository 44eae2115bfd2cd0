/** The form that sends one operation for real, and what comes back. */

import { token } from "./api.js";
import { el, fill } from "./dom.js";
import { pretty } from "./schema.js";
import { readFrames } from "./sse.js";

const BODILESS = new Set(["get", "head"]);
const LONGEST_SHOWN = 200_000;
const MOST_FRAMES = 2000;
const SHOWN_HEADER = /^(content-type|content-length|location|retry-after|allow|link|etag|cache-control|www-authenticate|x-.*|ratelimit.*|traceparent)$/;

let forms = 0;

/** `operation` is `{method, path, base, parameters, requestBody, responses}`, references resolved. */
export function tryForm(operation, schemas) {
  forms += 1;
  const form = new TryForm(operation, schemas, `try-${forms}`);
  return form.node;
}

class TryForm {
  #controller = null;
  #inputs = [];
  #editor = null;
  #bodyType = null;
  #accept = null;
  #output = el("div", { class: "output", "aria-live": "polite" });
  #send = el("button", { type: "submit", class: "primary" }, "Send");
  #abort = el("button", { type: "button", class: "plain", hidden: true, onclick: () => this.#controller?.abort() }, "Abort");

  constructor(operation, schemas, prefix) {
    this.operation = operation;
    this.schemas = schemas;
    this.prefix = prefix;
    const onsubmit = (event) => {
      event.preventDefault();
      this.#run();
    };
    this.node = el(
      "form",
      { class: "try", onsubmit },
      operation.parameters.map((parameter, index) => this.#parameterField(parameter, index)),
      this.#acceptField(),
      this.#bodyField(),
      el("div", { class: "row" }, this.#send, this.#abort),
      this.#output,
    );
  }

  #parameterField(parameter, index) {
    const id = `${this.prefix}-${index}`;
    const input = this.#parameterInput(parameter, id);
    this.#inputs.push({ parameter, input });
    return field(id, parameter.name, parameter.required ? `${parameter.in}, required` : parameter.in, input);
  }

  #parameterInput(parameter, id) {
    const schema = this.schemas.resolve(parameter.schema);
    const choices = schema.type === "boolean" ? [true, false] : schema.enum;
    const example = parameter.example ?? schema.examples?.[0] ?? schema.example;
    if (choices) return select(id, parameter.required ? choices : ["", ...choices], example ?? "");
    const value = parameter.required ? example ?? schema.default ?? "" : "";
    return el("input", { id, value, required: Boolean(parameter.required), placeholder: example ?? schema.default ?? null, autocomplete: "off", spellcheck: "false" });
  }

  #acceptField() {
    const types = new Set(Object.values(this.operation.responses).flatMap((response) => Object.keys(this.schemas.resolve(response).content ?? {})));
    types.delete("application/problem+json");
    if (types.size < 2) {
      this.#accept = [...types][0] ?? null;
      return null;
    }
    const id = `${this.prefix}-accept`;
    const input = select(id, [...types], [...types][0]);
    this.#accept = input;
    return field(id, "Accept", "header", input);
  }

  #bodyField() {
    const content = this.operation.requestBody?.content;
    if (!content || BODILESS.has(this.operation.method)) return null;
    const [type, media] = Object.entries(content)[0];
    const id = `${this.prefix}-body`;
    const sample = pretty(mediaExample(media) ?? this.schemas.sample(media.schema));
    this.#bodyType = type;
    this.#editor = el("textarea", { id, class: "mono", rows: Math.min(sample.split("\n").length + 1, 16), spellcheck: "false", onkeydown: sendOnCtrlEnter });
    this.#editor.value = sample;
    return field(id, "Body", type, this.#editor);
  }

  async #run() {
    this.#controller?.abort();
    const controller = new AbortController();
    this.#controller = controller;
    this.#busy(true);
    fill(this.#output, el("p", { class: "quiet" }, "Waiting for the answer…"));
    const started = performance.now();
    try {
      const response = await fetch(this.#url(), { ...this.#options(), signal: controller.signal });
      this.#drawHead(response, performance.now() - started);
      await this.#drawBody(response);
    } catch (failure) {
      if (this.#controller !== controller) return;
      const words = controller.signal.aborted ? "Aborted. A turn that was running goes on." : `No answer: ${failure.message}`;
      this.#output.append(el("p", { class: "verdict" }, words));
    }
    if (this.#controller === controller) this.#busy(false);
  }

  #url() {
    let { path } = this.operation;
    const query = new URLSearchParams();
    for (const { name, in: place, value } of this.#values()) {
      if (place === "path") path = path.replace(`{${name}}`, encodeURIComponent(value));
      if (place === "query") query.append(name, value);
    }
    return this.operation.base + path + (query.size ? `?${query}` : "");
  }

  #options() {
    const headers = new Headers();
    if (token.get()) headers.set("Authorization", `Bearer ${token.get()}`);
    const accept = this.#accept?.value ?? this.#accept;
    if (accept) headers.set("Accept", accept);
    for (const { name, in: place, value } of this.#values()) if (place === "header") headers.set(name, value);
    const body = this.#editor?.value.trim() || undefined;
    if (body) headers.set("Content-Type", this.#bodyType);
    return { method: this.operation.method.toUpperCase(), headers, body, cache: "no-store" };
  }

  #values() {
    return this.#inputs.map(({ parameter, input }) => ({ ...parameter, value: input.value })).filter(({ value }) => value !== "");
  }

  #drawHead(response, elapsed) {
    const kind = response.ok ? "good" : "bad";
    const headers = [...response.headers].filter(([name]) => SHOWN_HEADER.test(name));
    fill(
      this.#output,
      el("p", { class: `answer answer-${kind}` }, `${response.status} ${response.statusText}`.trim(), el("span", { class: "quiet" }, ` ${Math.round(elapsed)} ms`)),
      headers.length ? el("pre", { class: "head" }, headers.map(([name, value]) => `${name}: ${value}`).join("\n")) : null,
    );
  }

  async #drawBody(response) {
    const type = response.headers.get("Content-Type") ?? "";
    if (type.includes("text/event-stream")) return this.#drawFrames(response);
    const text = await response.text();
    if (text) this.#output.append(el("pre", { class: "body" }, shown(type.includes("json") ? tidy(text) : text)));
  }

  async #drawFrames(response) {
    const list = el("ol", { class: "bare frames", "aria-live": "off" });
    this.#output.append(list);
    for await (const frame of readFrames(response.body)) {
      if (list.childElementCount >= MOST_FRAMES) list.firstElementChild.remove();
      const low = list.scrollTop + list.clientHeight >= list.scrollHeight - 8;
      list.append(frameNode(frame));
      if (low) list.scrollTop = list.scrollHeight;
    }
    this.#output.append(el("p", { class: "quiet" }, "The stream has ended."));
  }

  #busy(busy) {
    this.#abort.hidden = !busy;
  }
}

export function mediaExample(media) {
  return media?.example ?? Object.values(media?.examples ?? {})[0]?.value;
}

function field(id, name, note, input) {
  return el("div", { class: "field" }, el("label", { for: id }, el("code", {}, name), " ", el("span", { class: "quiet" }, note)), input);
}

function select(id, values, chosen) {
  return el("select", { id }, values.map((value) => el("option", { value, selected: value === chosen }, value === "" ? "(not sent)" : String(value))));
}

function frameNode({ id, event, data }) {
  const seq = id.slice(id.lastIndexOf(":") + 1);
  return el("li", {}, el("span", { class: "quiet" }, seq || "·"), el("span", {}, event === "message" ? data : `${event}: ${data}`));
}

function sendOnCtrlEnter(event) {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  event.target.form.requestSubmit();
}

function tidy(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function shown(text) {
  return text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)}\n… ${text.length - LONGEST_SHOWN} more characters` : text;
}
