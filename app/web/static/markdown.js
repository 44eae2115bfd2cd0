/** The little markdown that API descriptions use, as DOM nodes: paragraphs, bullets, code, emphasis. */

import { el } from "./dom.js";

export function blocks(text) {
  return String(text ?? "")
    .split(/(^```[\s\S]*?^```[^\S\n]*$)/m)
    .flatMap((part) => (part.startsWith("```") ? codeBlock(part) : part.split(/\n\s*\n/).map(block)))
    .filter(Boolean);
}

export function inline(text) {
  return String(text ?? "")
    .split(/(`[^`]+`|\*\*[^*]+\*\*|\*[^\s*][^*]*\*)/)
    .filter(Boolean)
    .map((part) => {
      if (/^`.+`$/.test(part)) return el("code", {}, part.slice(1, -1));
      if (/^\*\*.+\*\*$/.test(part)) return el("strong", {}, part.slice(2, -2));
      if (/^\*.+\*$/.test(part)) return el("em", {}, part.slice(1, -1));
      return part;
    });
}

function codeBlock(part) {
  return el("pre", {}, part.split("\n").slice(1, -1).join("\n"));
}

/** A run of bullets after a sentence is a list, also without a blank line between them. */
function block(text) {
  if (!text.trim()) return null;
  const lines = text.trim().split("\n");
  const first = lines.findIndex(isBullet);
  if (first < 0) return el("p", {}, inline(lines.join(" ")));
  const lead = lines.slice(0, first);
  return [lead.length ? el("p", {}, inline(lead.join(" "))) : null, el("ul", {}, bullets(lines.slice(first)))];
}

function bullets(lines) {
  const items = [];
  for (const line of lines) {
    if (isBullet(line)) items.push(line.replace(/^\s*[-*] /, ""));
    else items[items.length - 1] += ` ${line.trim()}`;
  }
  return items.map((item) => el("li", {}, inline(item)));
}

function isBullet(line) {
  return /^\s*[-*] /.test(line);
}
