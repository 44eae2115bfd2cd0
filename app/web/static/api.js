/** Calls to the service: errors as one class, the optional token, idempotency keys. */

import { guestFor } from "./seats.js";

const TOKEN = "dm.token";

/** An event of the window: the server wants a token, or another one. `detail` is the `Problem`. */
export const UNAUTHORIZED = "unauthorized";

/** Kept for this tab only. Needed where the server runs with authentication. */
export const token = {
  get: () => sessionStorage.getItem(TOKEN) ?? "",
  set: (value) => (value ? sessionStorage.setItem(TOKEN, value) : sessionStorage.removeItem(TOKEN)),
};

/** What a user pasted, as a token; throws where it cannot be sent as a header. */
export function tokenFrom(text) {
  const value = text.trim().replace(/^bearer\s+/i, "");
  if (!/^[\x21-\x7e]+$/.test(value)) throw new Error("A token has only letters, digits and signs, and no spaces.");
  return value;
}

/** An HTTP answer that refuses, read from `application/problem+json` as far as it is there. */
export class Problem extends Error {
  constructor(response, body) {
    const error = body?.error ?? {};
    super(error.message || body?.detail || body?.title || `The server answered ${response.status}.`);
    this.status = response.status;
    this.type = error.type ?? "";
    this.phase = body?.phase ?? error.phase ?? "";
    this.requestId = error.request_id ?? response.headers.get("X-Request-Id") ?? "";
    this.retryAfter = seconds(error.retry_after_seconds ?? response.headers.get("Retry-After"));
    this.turnId = turnIdFrom(response.headers.get("Location"));
  }
}

/** The response, or a thrown `Problem`; a network failure stays the TypeError that fetch throws. */
export async function request(path, { method = "GET", json, headers = {}, signal } = {}) {
  const sent = new Headers(headers);
  if (token.get()) sent.set("Authorization", `Bearer ${token.get()}`);
  const guest = guestFor(path);
  if (guest) sent.set("X-User-Id", guest);
  if (json !== undefined) sent.set("Content-Type", "application/json");
  const body = json === undefined ? undefined : JSON.stringify(json);
  const response = await fetch(path, { method, headers: sent, body, signal, cache: "no-store" });
  if (response.ok) return response;
  const problem = new Problem(response, await jsonOrNull(response));
  if (problem.status === 401) dispatchEvent(new CustomEvent(UNAUTHORIZED, { detail: problem }));
  throw problem;
}

export async function getJSON(path, options) {
  return (await request(path, options)).json();
}

export function turnIdFrom(location) {
  return /\/turns\/([^/?#]+)/.exec(location ?? "")?.[1] ?? null;
}

export function newKey() {
  // Outside a secure context (plain http on another host) randomUUID does not exist.
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function jsonOrNull(response) {
  try {
    return await response.json();
  } catch {
    return null;
  }
}

function seconds(value) {
  const number = Number.parseFloat(value);
  return Number.isFinite(number) && number > 0 ? Math.ceil(number) : null;
}
