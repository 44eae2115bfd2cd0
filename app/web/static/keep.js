/** Copying and exporting the whole story, as Markdown. */

import { byId, el, fill } from "./dom.js";
import { notice, page } from "./page.js";
import { turnsPage } from "./past.js";

const PAGE = 100;

export function setUpKeeping() {
  byId("copy").addEventListener("click", () => keep(copy));
  byId("export").addEventListener("click", () => keep(download));
}

async function keep(how) {
  try {
    say(await how(page.table ? tableStory() : await characterStory(page.characterId)));
  } catch (failure) {
    notice("turn-notice", failure);
  }
}

/** From the first turn on, whatever of it is on the page. */
async function characterStory(characterId) {
  const found = [];
  let before = null;
  do {
    const { turns, next } = await turnsPage(characterId, PAGE, before);
    found.push(...turns);
    before = next;
  } while (before);
  const parts = found.reverse().map((turn) => ({ action: turn.user_action ?? "", narrative: turn.narrative ?? "" }));
  return markdown(title(), parts);
}

/** A table's story is on the page as a whole. */
function tableStory() {
  const parts = [...byId("story").children].map((node) => ({
    action: node.matches(".line") ? node.innerText : "",
    narrative: [...node.querySelectorAll(".narrative p")].map((line) => line.textContent).join("\n\n"),
  }));
  return markdown(title(), parts);
}

export function markdown(name, parts) {
  const blocks = parts.flatMap(({ action, narrative }) => [action && quoted(action), narrative && escaped(narrative)]);
  return `${[`# ${escaped(name)}`, ...blocks.filter(Boolean)].join("\n\n")}\n`;
}

/** What a player wrote is a quotation. */
function quoted(text) {
  return escaped(text).split("\n").map((line) => `> ${line}`).join("\n");
}

/** Signs that Markdown would take for its own. */
function escaped(text) {
  return text.replace(/[\\`*_[\]<>#|]/g, "\\$&").replace(/^(\s*)([-+]|\d+[.)])(?=\s)/gm, "$1\\$2");
}

async function copy(text) {
  await writeClipboard(text);
  return "The story is copied.";
}

async function writeClipboard(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Plain http on another host: only the old way is left.
  const field = el("textarea", { class: "sr-only" }, text);
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
}

function download(text) {
  const address = URL.createObjectURL(new Blob([text], { type: "text/markdown" }));
  el("a", { href: address, download: `${title().replace(/[^\p{L}\p{N}]+/gu, "-") || "story"}.md` }).click();
  URL.revokeObjectURL(address);
  return "The story is exported.";
}

function title() {
  return byId("tale-title").textContent;
}

function say(words) {
  fill(byId("keep-state"), words);
}
