/** Server-sent events: a parser without I/O, and a reader that drives it over a fetch body. */

const LINE_END = /\r\n|\n|\r/;

/**
 * Feed it bytes split anywhere (inside a line, a CRLF, a UTF-8 sequence); it gives back whole frames
 * `{id, event, data}`. `id` is the last one seen, as the standard has it, so a frame without one
 * repeats the frame before. What is unfinished when the stream ends is dropped, also by the standard.
 */
export class SSEParser {
  #decoder = new TextDecoder("utf-8");
  #rest = "";
  #afterCR = false;
  #data = [];
  #event = "";

  lastId = "";
  /** Milliseconds the server asked readers to wait before they reconnect, or null. */
  retry = null;

  feed(bytes) {
    const frames = [];
    for (const line of this.#lines(this.#decoder.decode(bytes, { stream: true }))) {
      const frame = line === "" ? this.#dispatch() : this.#field(line);
      if (frame) frames.push(frame);
    }
    return frames;
  }

  #lines(text) {
    if (text === "") return [];
    // The CR has already ended its line; an LF that opens the next chunk belongs to it.
    if (this.#afterCR && text.startsWith("\n")) text = text.slice(1);
    this.#afterCR = text.endsWith("\r");
    const lines = (this.#rest + text).split(LINE_END);
    this.#rest = lines.pop();
    return lines;
  }

  #field(line) {
    if (line.startsWith(":")) return null;
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (name === "data") this.#data.push(value);
    else if (name === "event") this.#event = value;
    else if (name === "id" && !value.includes("\0")) this.lastId = value;
    else if (name === "retry" && /^\d+$/.test(value)) this.retry = Number(value);
    return null;
  }

  #dispatch() {
    const frame = { id: this.lastId, event: this.#event || "message", data: this.#data.join("\n") };
    const empty = this.#data.length === 0;
    this.#data = [];
    this.#event = "";
    return empty ? null : frame;
  }
}

export class Silence extends Error {}

/**
 * The frames of a response body as they come. Throws `Silence` when nothing, not even a heartbeat,
 * arrives for `silenceMs`: a connection that died without a word looks just like a quiet one.
 */
export async function* readFrames(body, silenceMs = Infinity) {
  const reader = body.getReader();
  const parser = new SSEParser();
  try {
    for (;;) {
      const { value, done } = await within(silenceMs, reader.read());
      if (done) return;
      yield* parser.feed(value);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function within(milliseconds, promise) {
  if (milliseconds === Infinity) return promise;
  let timer;
  const alarm = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Silence("The stream fell silent.")), milliseconds);
  });
  return Promise.race([promise, alarm]).finally(() => clearTimeout(timer));
}
