/** The field in which players write, its keys, and the buttons around it. */

import { byId, fill } from "./dom.js";
import { page } from "./page.js";
import { setUpRecall } from "./recall.js";

const LONGEST_ACTION = 8000;
const COUNT_FROM = 7500;

/** `send(words)`, `stop()`, `ask(words)` and `say(words)` do what the player wants. */
export function setUpComposer({ send, stop, ask, say }) {
  byId("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    const words = wordsToSend();
    if (words) send(words);
  });
  byId("ask").addEventListener("click", () => aside(ask));
  byId("say").addEventListener("click", () => aside(say));
  byId("cancel").addEventListener("click", stop);
  byId("action").addEventListener("keydown", onActionKey);
  byId("action").addEventListener("input", drawComposer);
  setUpRecall(byId("action"), words);
  addEventListener("keydown", (event) => event.key === "Escape" && page.watch && !event.defaultPrevented && stop());
}

function wordsToSend() {
  const words = byId("action").value.trim();
  return byId("send").disabled || lengthOf(words) > LONGEST_ACTION ? "" : words;
}

/** Takes the words for something beside the story. */
function aside(call) {
  const words = byId("action").value.trim();
  byId("action").focus();
  if (!words || lengthOf(words) > LONGEST_ACTION) return;
  byId("action").value = "";
  call(words);
}

function onActionKey(event) {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  if (!byId("send").disabled) byId("composer").requestSubmit();
}

/** What the player wrote in this story, on whatever device. */
function words() {
  return [...byId("story").querySelectorAll(".action:not([hidden]), .asked, .mine .said")].map((node) => node.textContent).filter(Boolean);
}

export function drawComposer() {
  const { watch } = page;
  const count = lengthOf(byId("action").value.trim());
  const over = count > LONGEST_ACTION;
  byId("counter").hidden = count < COUNT_FROM;
  byId("counter").classList.toggle("over", over);
  fill(byId("counter"), `${count} of ${LONGEST_ACTION}`);
  byId("send").disabled = Boolean(watch) || over;
  byId("send").hidden = Boolean(watch);
  byId("options").hidden = Boolean(watch);
  byId("cancel").hidden = !watch;
  byId("cancel").disabled = !watch?.turnId || watch.cancelling || !watch.card.cancellable;
  byId("choices").hidden = !watch?.card.awaiting;
  byId("commit").disabled = byId("retell").disabled = Boolean(watch?.choosing || watch?.cancelling);
  fill(byId("cancel"), watch?.cancelling ? "Stopping…" : "Stop");
}

/** In code points, as the server counts. */
function lengthOf(text) {
  return [...text].length;
}
